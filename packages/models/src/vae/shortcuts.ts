import { pad, type Tensor, weightedSum } from "@wan-ts/tensor";

/** How many times fewer, or more, frames and pixels (in height and in width) a shortcut gives than it takes. */
export interface ShortcutFactors {
  readonly frames: number;
  readonly size: number;
}

/**
 * A shortcut past a level of the encoder: the pixels that become one are laid into its channels, and
 * each run of those channels is averaged into one of `channels`. Frames that don't fill a group, those
 * of the first chunk, have zeros before them. diffusers' `AvgDown3D`.
 *
 * (B, T, H, W, C) → (B, ⌈T/frames⌉, H/size, W/size, channels), where `channels` divides
 * C · frames · size².
 */
export function averageDown(input: Tensor, channels: number, { frames, size }: ShortcutFactors): Tensor {
  const [batch, present, height, width, inputs] = input.shape as [number, number, number, number, number];
  const groups = Math.ceil(present / frames);
  const missing = groups * frames - present;
  const whole =
    missing === 0
      ? input
      : pad(input, [
          [0, 0],
          [missing, 0],
          [0, 0],
          [0, 0],
          [0, 0],
        ]);
  const averaged = (inputs * frames * size ** 2) / channels;
  const runs = whole
    .reshape([batch, groups, frames, height / size, size, width / size, size, inputs])
    .permute([0, 1, 3, 5, 7, 2, 4, 6]) // (B, T′, H′, W′, C, frames, size, size)
    .reshape([batch, groups, height / size, width / size, channels, averaged]);
  const terms = runs.to("float32").chunk(averaged, -1);
  const means = weightedSum(terms, Array<number>(averaged).fill(1 / averaged));
  return means.squeeze(-1).to(input.dtype); // Summed in float32 or more, rounded once.
}

/**
 * A shortcut past a level of the decoder: channels are repeated until they fill the frames and pixels
 * that become of one. Of the frames, the last `frames` are given: the first chunk isn't doubled.
 * diffusers' `DupUp3D`.
 *
 * (B, T, H, W, C) → (B, last, H·size, W·size, channels), where C divides channels · frames · size² and
 * `last` is at most T · frames.
 */
export function repeatUp(
  input: Tensor,
  channels: number,
  { frames, size }: ShortcutFactors,
  last: number,
): Tensor {
  const [batch, present, height, width, inputs] = input.shape as [number, number, number, number, number];
  const repeats = (channels * frames * size ** 2) / inputs;
  const all = input
    .unsqueeze(-1)
    .expand([...input.shape, repeats])
    .reshape([batch, present, height, width, channels, frames, size, size])
    .permute([0, 1, 5, 2, 6, 3, 7, 4]) // (B, T, frames, H, size, W, size, channels)
    .reshape([batch, present * frames, height * size, width * size, channels]);
  return all.slice(1, all.size(1) - last);
}
