import { concatenate, Generator, scope, Tensor } from "@wan-ts/tensor";

/**
 * Standard normal float32 noise of `shape`, as diffusers' `randn_tensor` draws it: one generator
 * fills the whole batch, a list fills a video each.
 */
export function drawNoise(
  shape: readonly [number, ...number[]],
  generator: Generator | readonly Generator[] | undefined,
): Tensor {
  const count = shape.reduce((product, size) => product * size, 1);
  if (isList(generator)) {
    const one = [1, ...shape.slice(1)];
    return scope(() =>
      concatenate(
        generator.map((each) => Tensor.from(each.randn(count / shape[0]), one)),
        0,
      ),
    );
  }
  return Tensor.from((generator ?? new Generator(randomSeed())).randn(count), shape);
}

function isList(generator: Generator | readonly Generator[] | undefined): generator is readonly Generator[] {
  return Array.isArray(generator);
}

function randomSeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0] as number;
}
