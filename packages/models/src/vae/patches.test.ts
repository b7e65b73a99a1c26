import { expect, test } from "bun:test";
import { scope, Tensor } from "@wan-ts/tensor";
import { patchify, unpatchify } from "./patches.ts";

const shape = [2, 3, 6, 12, 3] as const;
const pixels = () =>
  Tensor.from(
    Float32Array.from(
      { length: shape.reduce<number>((product, size) => product * size, 1) },
      (_, index) => index,
    ),
    shape,
  );

test.each([1, 2, 3])(
  "patchify orders patches of %p as (colour, column, row), and unpatchify undoes it",
  (patch) => {
    scope(() => {
      const [batch, frames, height, width, colours] = shape;
      const folded = patchify(pixels(), patch);
      expect(folded.shape).toEqual([batch, frames, height / patch, width / patch, colours * patch ** 2]);
      const [values, wanted] = [folded.floatsBlocking(), new Float32Array(folded.count)];
      const source = pixels().floatsBlocking();
      for (let at = 0; at < source.length; at++) {
        const colour = at % colours;
        const x = Math.floor(at / colours) % width;
        const y = Math.floor(at / colours / width) % height;
        const image = Math.floor(at / colours / width / height);
        const channel = (colour * patch + (x % patch)) * patch + (y % patch);
        const [row, column] = [Math.floor(y / patch), Math.floor(x / patch)];
        const pixel = (image * (height / patch) + row) * (width / patch) + column;
        wanted[pixel * colours * patch ** 2 + channel] = source[at]!;
      }
      expect(values).toEqual(wanted);
      const back = unpatchify(folded, patch);
      expect(back.shape).toEqual(shape);
      expect(back.floatsBlocking()).toEqual(source);
    });
  },
);

test("without patches pixels stay as they are", () => {
  scope(() => {
    const whole = pixels();
    expect(patchify(whole, null)).toBe(whole);
    expect(unpatchify(whole, null)).toBe(whole);
  });
});
