import { type Device, Tensor } from "@wan-ts/tensor";

/**
 * Where the scales of 4-bit blocks are looked up. `exact`: each element by the scale of the block that
 * it was quantized in, as bitsandbytes does on GPUs. `avx512`: as bitsandbytes 0.50 does on a CPU with
 * AVX-512, whose rows begin a block of their own: where a row isn't whole blocks, its elements get the
 * scales of other blocks. Weights whose rows are whole blocks, as all of the published Wan models are,
 * have the same values either way.
 */
export type ScaleLookup = "exact" | "avx512";

/** On each device a model gives what it gives with bitsandbytes there. */
export function defaultScaleLookup(device: Device): ScaleLookup {
  return device === "cpu" ? "avx512" : "exact";
}

/** Elements that the CPU takes at a time; rows that aren't whole ones it restores exactly. */
export const rowStep = 16;
/** bitsandbytes leaves greater blocks to an exact implementation. */
const greatestBlock = 1024;

/** Whether the two ways of {@link ScaleLookup} differ for a weight of `shape`. */
export function rowsMisplaceScales(shape: readonly number[], blockSize: number): boolean {
  const columns = shape.at(-1) ?? 1;
  return columns % rowStep === 0 && columns % blockSize !== 0 && blockSize <= greatestBlock;
}

/**
 * The index of the scale that `avx512` gives to each {@link rowStep} elements of a weight of `shape`:
 * int32, row-major. Row r begins at scale r · ⌊columns / blockSize⌋.
 */
export function misplacedScales(shape: readonly number[], blockSize: number, device: Device = "cpu"): Tensor {
  const columns = shape.at(-1) ?? 1;
  const steps = columns / rowStep;
  const rows = shape.slice(0, -1).reduce((product, size) => product * size, 1);
  const blocksOfRow = Math.floor(columns / blockSize);
  const indices = Int32Array.from({ length: rows * steps }, (_, place) => {
    const row = Math.floor(place / steps);
    return row * blocksOfRow + Math.floor(((place % steps) * rowStep) / blockSize);
  });
  return Tensor.from(indices, [indices.length], "int32", device);
}
