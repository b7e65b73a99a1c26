import { expect, test } from "bun:test";
import { sizeOf } from "./size.ts";

const wide = { width: 1600, height: 900 };

test("takes both sides as they are", () => {
  expect(sizeOf({ height: 100, width: 31 }, [16, 16], wide)).toEqual({ height: 100, width: 31 });
});

test("follows the image's aspect to the nearest multiple with one side", () => {
  expect(sizeOf({ height: 480 }, [16, 16], wide)).toEqual({ height: 480, width: 848 });
  expect(sizeOf({ width: 832 }, [32, 16], wide)).toEqual({ height: 480, width: 832 });
  expect(sizeOf({ width: 16 }, [16, 16], { width: 1000, height: 1 })).toEqual({ height: 16, width: 16 });
});

test("keeps the image's aspect in the area of 480p without a side", () => {
  const { height, width } = sizeOf({}, [16, 16], wide);
  expect(height * width).toBeLessThanOrEqual(480 * 832);
  expect(Math.abs(width / height - 16 / 9)).toBeLessThan(0.1);
});

test("is 480p without an image", () => {
  expect(sizeOf({}, [16, 16], undefined)).toEqual({ height: 480, width: 832 });
  expect(sizeOf({ height: 240 }, [16, 16], undefined)).toEqual({ height: 240, width: 416 });
});
