import { concatenate, keep, scope, type Tensor } from "@wan-ts/tensor";
import type { VaeDecoder } from "./decoder.ts";
import { FeatureCache } from "./feature-cache.ts";
import { crop, joinTiles, type Region, type TileLayout, tileRegions } from "./tiles.ts";

/** How the decoder goes through latents. */
export interface DecodePlan {
  /** Tiles of the latents, and where they come to lie in what the decoder gives; undefined for none. */
  readonly tiles: { readonly taken: TileLayout; readonly given: TileLayout } | undefined;
  /** Whether each sample of a batch goes by itself. */
  readonly sliced: boolean;
}

/**
 * What was just submitted: a chunk, which is the caller's to dispose, or a part that later chunks are
 * made of, which isn't, and which a caller that shouldn't submit too much at a time may wait for.
 */
export type DecodeStep = { readonly chunk: Tensor } | { readonly part: Tensor };

/**
 * What the decoder gives for latents (B, T, H, W, zDim), in chunks (B, T′, H′, W′, outChannels): of one
 * frame, then of the frames of each latent frame. Tiles are decoded one after the other through all
 * frames, so that only one tile's features are held, and all are decoded before the first chunk.
 */
export function* decodeSteps(
  decoder: VaeDecoder,
  latents: Tensor,
  { tiles, sliced }: DecodePlan,
): Generator<DecodeStep, void, void> {
  const stepsOf = (samples: Tensor): Generator<DecodeStep, void, void> =>
    tiles ? tiledSteps(decoder, samples, tiles) : wholeSteps(decoder, samples);
  if (sliced && latents.size(0) > 1) yield* slicedSteps(latents, stepsOf);
  else yield* stepsOf(latents);
}

/** The steps of each sample, in turn up to its next chunk; then the chunk of all. */
function* slicedSteps(
  latents: Tensor,
  stepsOf: (sample: Tensor) => Generator<DecodeStep, void, void>,
): Generator<DecodeStep, void, void> {
  using samples = new DisposableStack();
  const stepsBySample = latents.chunk(latents.size(0), 0).map((sample) => {
    samples.use(keep(sample));
    const steps = stepsOf(sample);
    samples.defer(() => steps.return());
    return steps;
  });
  for (let frame = 0; frame < latents.size(1); frame++) {
    using held = new DisposableStack();
    const chunks: Tensor[] = [];
    for (const steps of stepsBySample) {
      for (let step = steps.next().value; step; step = steps.next().value) {
        if ("chunk" in step) {
          chunks.push(held.use(keep(step.chunk)));
          break;
        }
        yield step;
      }
    }
    const chunk = concatenate(chunks, 0);
    held.dispose();
    yield { chunk };
  }
}

function* wholeSteps(decoder: VaeDecoder, latents: Tensor): Generator<DecodeStep, void, void> {
  for (const chunk of regionChunks(decoder, latents)) yield { chunk };
}

function* tiledSteps(
  decoder: VaeDecoder,
  latents: Tensor,
  { taken, given }: NonNullable<DecodePlan["tiles"]>,
): Generator<DecodeStep, void, void> {
  using held = new DisposableStack();
  const rows: Tensor[][][] = []; // By row, column and latent frame.
  for (const regions of tileRegions(latents, taken)) {
    const row: Tensor[][] = [];
    rows.push(row);
    for (const region of regions) {
      const chunks: Tensor[] = [];
      row.push(chunks);
      for (const part of regionChunks(decoder, latents, region)) {
        chunks.push(held.use(keep(part)));
        yield { part };
      }
    }
  }
  for (let frame = 0; frame < latents.size(1); frame++) {
    const tiles = rows.map((row) => row.map((chunks) => chunks[frame] as Tensor));
    const chunk = joinTiles(tiles, given);
    for (const tile of tiles.flat()) tile.dispose();
    yield { chunk };
  }
}

/** Chunks of a region of all frames, or of whole frames, with their own features. */
function* regionChunks(decoder: VaeDecoder, latents: Tensor, region?: Region): Generator<Tensor, void, void> {
  using cache = new FeatureCache();
  for (let frame = 0; frame < latents.size(1); frame++) {
    yield scope(() => {
      const one = latents.slice(1, frame, frame + 1);
      return decoder.call({ input: region ? crop(one, region) : one, cache });
    });
  }
}
