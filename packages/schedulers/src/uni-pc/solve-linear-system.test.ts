import { expect, test } from "bun:test";
import { solveLinearSystem } from "./solve-linear-system.ts";

test("solves a system whose first pivot is zero", () => {
  expect(
    solveLinearSystem(
      [
        [0, 2],
        [4, 1],
      ],
      [6, 11],
    ),
  ).toEqual([2, 3]);
});

test("solves a Vandermonde system of three", () => {
  const ratios = [-0.5, -1.25, 1];
  const matrix = [0, 1, 2].map((power) => ratios.map((ratio) => ratio ** power));
  const expected = [0.25, -0.75, 2];
  const rightSide = matrix.map((row) => row.reduce((sum, value, i) => sum + value * expected[i]!, 0));
  for (const [i, value] of solveLinearSystem(matrix, rightSide).entries()) {
    expect(value).toBeCloseTo(expected[i]!, 14);
  }
});

test("gives no finite answer to a singular system", () => {
  expect(
    solveLinearSystem(
      [
        [1, 1],
        [1, 1],
      ],
      [1, 2],
    ).every(Number.isFinite),
  ).toBe(false);
});
