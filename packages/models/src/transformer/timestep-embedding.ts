import { type Device, Tensor } from "@wan-ts/tensor";

/** Wavelengths run up to 2π times this, in steps of the schedule. */
const maxPeriod = 10_000;

/**
 * Sinusoidal embedding of timesteps (Vaswani et al. 2017), cosines before sines: N numbers →
 * float32 (N, size). After diffusers `models/embeddings.py`, `get_timestep_embedding`.
 *
 * Each step of the angle is rounded to float32, as there: at timestep 999 an unrounded angle is
 * 3e-5 off.
 */
export function timestepEmbedding(
  timesteps: readonly number[],
  size: number,
  device: Device = "cpu",
): Tensor {
  const half = size / 2;
  const logMaxPeriod = Math.fround(-Math.log(maxPeriod));
  const frequencies = Float32Array.from({ length: half }, (_, index) =>
    Math.exp(Math.fround(Math.fround(logMaxPeriod * index) / half)),
  );
  const values = new Float32Array(timesteps.length * size);
  for (const [row, timestep] of timesteps.entries()) {
    for (const [index, frequency] of frequencies.entries()) {
      const angle = Math.fround(Math.fround(timestep) * frequency);
      values[row * size + index] = Math.cos(angle);
      values[row * size + half + index] = Math.sin(angle);
    }
  }
  return Tensor.from(values, [timesteps.length, size], "float32", device);
}
