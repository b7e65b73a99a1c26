/**
 * How many of `total` things each of `parts` gets: as even as can be, the first ones one more. The
 * same on every rank, so nobody has to ask.
 */
export function shares(total: number, parts: number): number[] {
  const least = Math.floor(total / parts);
  return Array.from({ length: parts }, (_, part) => least + (part < total % parts ? 1 : 0));
}

/** Where share `part` begins. */
export function startOf(sizes: readonly number[], part: number): number {
  return sizes.slice(0, part).reduce((sum, size) => sum + size, 0);
}
