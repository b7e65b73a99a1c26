import { describe, expect, test } from "bun:test";
import { scope, Tensor } from "@wan-ts/tensor";
import { averageDown, repeatUp, type ShortcutFactors } from "./shortcuts.ts";

type Shape = readonly [batch: number, frames: number, height: number, width: number, channels: number];

const count = (shape: readonly number[]): number => shape.reduce((product, size) => product * size, 1);

/** Small whole numbers: their sums and averages by powers of two are exact. */
const numbers = (shape: Shape): Float32Array =>
  Float32Array.from({ length: count(shape) }, (_, index) => (index * 37) % 101);

const at = (
  [, frames, height, width, channels]: Shape,
  b: number,
  t: number,
  y: number,
  x: number,
  c: number,
) => (((b * frames + t) * height + y) * width + x) * channels + c;

/** Every index of a shape. */
function* indices(shape: Shape): Generator<Shape> {
  const [batch, frames, height, width, channels] = shape;
  for (let b = 0; b < batch; b++)
    for (let t = 0; t < frames; t++)
      for (let y = 0; y < height; y++)
        for (let x = 0; x < width; x++) for (let c = 0; c < channels; c++) yield [b, t, y, x, c];
}

/** Where in a channel's run of frames × size × size a pixel lies. */
const folded = ({ frames, size }: ShortcutFactors, t: number, y: number, x: number): number =>
  ((t % frames) * size + (y % size)) * size + (x % size);

describe("averageDown", () => {
  test.each([
    ["keeps the channels", [2, 4, 4, 6, 4], 4, { frames: 2, size: 2 }],
    ["doubles the channels", [1, 4, 4, 6, 4], 8, { frames: 2, size: 2 }],
    ["has zeros before a frame alone", [2, 1, 4, 6, 4], 8, { frames: 2, size: 2 }],
    ["averages two pixels of a channel apart from the other two", [1, 3, 4, 4, 3], 6, { frames: 1, size: 2 }],
    ["only folds", [1, 2, 4, 4, 3], 12, { frames: 1, size: 2 }],
    ["averages neighbouring channels where the size stays", [1, 3, 2, 3, 8], 2, { frames: 1, size: 1 }],
    ["leaves all as it is", [1, 3, 2, 3, 4], 4, { frames: 1, size: 1 }],
  ] as const)("%s", (_, shape, channels, factors) => {
    const { frames, size } = factors;
    const [batch, present, height, width, inputs] = shape;
    const groups = Math.ceil(present / frames);
    const given: Shape = [batch, groups, height / size, width / size, channels];
    const volume = frames * size ** 2;
    const averaged = (inputs * volume) / channels;
    const source = numbers(shape);
    const wanted = new Float32Array(count(given));
    const missing = groups * frames - present;
    for (const [b, t, y, x, c] of indices(shape)) {
      const channel = Math.floor((c * volume + folded(factors, t + missing, y, x)) / averaged);
      const group = Math.floor((t + missing) / frames);
      const target = at(given, b, group, Math.floor(y / size), Math.floor(x / size), channel);
      wanted[target]! += source[at(shape, b, t, y, x, c)]! / averaged;
    }
    scope(() => {
      const found = averageDown(Tensor.from(source, shape), channels, factors);
      expect(found.shape).toEqual(given);
      expect(found.floatsBlocking()).toEqual(wanted);
    });
  });

  test("rounds once in 16 bits", () => {
    scope(() => {
      // 256 + 1 is 256 in bfloat16: summed there, the ones would be lost.
      const input = Tensor.from([256, 1, 1, 1, 1, 1, 1, 2], [1, 1, 1, 1, 8], "bfloat16");
      const found = averageDown(input, 1, { frames: 1, size: 1 });
      expect(found.dtype).toBe("bfloat16");
      expect(found.floatsBlocking()).toEqual(Float32Array.of(33));
    });
  });
});

describe("repeatUp", () => {
  test.each([
    ["keeps the channels", [2, 2, 2, 3, 4], 4, { frames: 2, size: 2 }, 4],
    ["gives the last frame of the first chunk", [2, 1, 2, 3, 4], 4, { frames: 2, size: 2 }, 1],
    ["halves the channels", [1, 2, 2, 3, 8], 4, { frames: 1, size: 2 }, 2],
    ["halves the channels and doubles frames", [1, 2, 2, 3, 8], 4, { frames: 2, size: 2 }, 4],
    ["doubles the channels", [1, 3, 2, 3, 2], 4, { frames: 1, size: 2 }, 3],
    ["only unfolds", [1, 3, 2, 3, 12], 3, { frames: 1, size: 2 }, 3],
  ] as const)("%s", (_, shape, channels, factors, last) => {
    const { frames, size } = factors;
    const [batch, present, height, width, inputs] = shape;
    const all: Shape = [batch, present * frames, height * size, width * size, channels];
    const given: Shape = [batch, last, height * size, width * size, channels];
    const volume = frames * size ** 2;
    const repeats = (channels * volume) / inputs;
    const source = numbers(shape);
    const wanted = new Float32Array(count(given));
    const skipped = all[1] - last;
    for (const [b, t, y, x, c] of indices(all)) {
      if (t < skipped) continue;
      const channel = Math.floor((c * volume + folded(factors, t, y, x)) / repeats);
      const [frame, row, column] = [Math.floor(t / frames), Math.floor(y / size), Math.floor(x / size)];
      wanted[at(given, b, t - skipped, y, x, c)] = source[at(shape, b, frame, row, column, channel)]!;
    }
    scope(() => {
      const found = repeatUp(Tensor.from(source, shape), channels, factors, last);
      expect(found.shape).toEqual(given);
      expect(found.floatsBlocking()).toEqual(wanted);
    });
  });
});
