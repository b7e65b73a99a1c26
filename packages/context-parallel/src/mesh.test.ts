import { expect, test } from "bun:test";
import fc from "fast-check";
import { DeviceMesh } from "./mesh.ts";
import { shares, startOf } from "./shares.ts";

test("a mesh lays ranks out by prompt, then ring, then heads", () => {
  const mesh = new DeviceMesh({ cfg: 2, ring: 2, ulysses: 2 });
  expect(mesh.groupsAlong("ulysses")).toEqual([
    [0, 1],
    [2, 3],
    [4, 5],
    [6, 7],
  ]);
  expect(mesh.groupsAlong("ring")).toEqual([
    [0, 2],
    [1, 3],
    [4, 6],
    [5, 7],
  ]);
  expect(mesh.groupsAlong("cfg")).toEqual([
    [0, 4],
    [1, 5],
    [2, 6],
    [3, 7],
  ]);
  expect(mesh.groupsAlong("sequence")).toEqual([
    [0, 1, 2, 3],
    [4, 5, 6, 7],
  ]);
  expect(mesh.coordinatesOf(6)).toEqual({ cfg: 1, ring: 1, ulysses: 0 });
});

test("groups along each axis are all ranks, each once", () => {
  const degree = fc.integer({ min: 1, max: 5 });
  fc.assert(
    fc.property(fc.constantFrom(1 as const, 2 as const), degree, degree, (cfg, ring, ulysses) => {
      const mesh = new DeviceMesh({ cfg, ring, ulysses });
      for (const axis of ["cfg", "ring", "ulysses", "sequence"] as const) {
        const groups = mesh.groupsAlong(axis);
        const size = axis === "sequence" ? ring * ulysses : mesh.degrees[axis];
        expect(new Set(groups.map((group) => group.length))).toEqual(new Set([size]));
        expect(groups.flat().toSorted((a, b) => a - b)).toEqual(
          Array.from({ length: mesh.size }, (_, rank) => rank),
        );
      }
    }),
  );
});

test("shares are as even as can be, and add up", () => {
  expect(shares(13, 4)).toEqual([4, 3, 3, 3]);
  expect(shares(2, 3)).toEqual([1, 1, 0]);
  fc.assert(
    fc.property(fc.nat(10_000), fc.integer({ min: 1, max: 64 }), (total, parts) => {
      const sizes = shares(total, parts);
      expect(startOf(sizes, parts)).toBe(total);
      expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
    }),
  );
});
