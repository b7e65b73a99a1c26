import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { nearestName } from "./nearest-name.ts";

const backends = ["native", "reference", "ring"];

describe("nearestName", () => {
  test.each([
    ["natve", "native"],
    ["natiev", "native"],
    ["Native", "native"],
    ["refrence", "reference"],
    ["rign", "ring"],
  ])("takes %s for %s", (name, nearest) => {
    expect(nearestName(name, backends)).toBe(nearest);
  });

  test.each(["flash", "", "xx", "nothing like it"])("knows nothing near %p", (name) => {
    expect(nearestName(name, backends)).toBeUndefined();
  });

  test("takes the nearest, and the first among equals", () => {
    expect(nearestName("stepz", ["stops", "steps"])).toBe("steps");
    expect(nearestName("cat", ["bat", "hat"])).toBe("bat");
  });

  test("finds a known name from itself and from one letter less", () => {
    const word = fc.string({
      minLength: 4,
      maxLength: 12,
      unit: fc.constantFrom("a", "b", "c", "d", "e", "f"),
    });
    fc.assert(
      fc.property(word, fc.nat(), (name, at) => {
        expect(nearestName(name, [name])).toBe(name);
        const cut = at % name.length;
        expect(nearestName(name.slice(0, cut) + name.slice(cut + 1), ["zzzzzzzz", name])).toBe(name);
      }),
    );
  });
});
