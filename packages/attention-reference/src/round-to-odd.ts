/**
 * The float32 numbers on the way from float64 to a 16-bit float: an inexact value goes to its
 * neighbour whose last bit is 1, so that rounding that to nearest gives what rounding the float64
 * to nearest would have given (Boldo and Melquiond 2008). Rounding to nearest twice wouldn't.
 */
export function roundToOdd(values: Float64Array): Float32Array {
  const rounded = Float32Array.from(values);
  const bits = new Uint32Array(rounded.buffer);
  for (const [index, exact] of values.entries()) {
    const near = rounded[index] as number;
    if (near === exact || Number.isNaN(exact)) continue;
    if (Math.abs(near) > Math.abs(exact)) bits[index]! -= 1;
    bits[index]! |= 1;
  }
  return rounded;
}
