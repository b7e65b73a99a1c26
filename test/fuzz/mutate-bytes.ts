import type { FuzzRandom } from "./random.ts";

/** Values at which lengths, counts and signs break. */
const extremes: readonly bigint[] = [
  0n,
  1n,
  2n,
  7n,
  8n,
  0x7fn,
  0x80n,
  0xffn,
  0x7fffn,
  0x8000n,
  0xffffn,
  0x7fff_ffffn,
  0x8000_0000n,
  0xffff_ffffn,
  0x7fff_ffff_ffff_ffffn,
  0xffff_ffff_ffff_ffffn,
];

const bytesOfInteger = [1, 2, 4, 8] as const;

type ByteMutation = (bytes: Uint8Array, random: FuzzRandom, others: readonly Uint8Array[]) => Uint8Array;

const mutations: readonly ByteMutation[] = [
  flipBits,
  flipBits,
  overwriteInteger,
  overwriteInteger,
  nudgeByte,
  truncate,
  remove,
  insertRandom,
  repeat,
  splice,
];

/**
 * A copy of `bytes` with one to four faults: flipped bits, integers at their extremes, pieces cut off,
 * left out, repeated, made up, or taken from one of `others`.
 */
export function mutateBytes(
  bytes: Uint8Array,
  random: FuzzRandom,
  others: readonly Uint8Array[] = [],
): Uint8Array {
  let mutated: Uint8Array = bytes.slice();
  for (let left = 1 + random.below(4); left > 0; left--) {
    mutated = random.pick(mutations)(mutated, random, others);
  }
  return mutated;
}

/** Writes an integer of 1, 2, 4 or 8 bytes, of either byte order, that is an extreme or near the length. */
export function overwriteInteger(bytes: Uint8Array, random: FuzzRandom): Uint8Array {
  const size = random.pick(bytesOfInteger);
  if (bytes.length < size) return bytes;
  const at = random.below(bytes.length - size + 1);
  const near = BigInt(Math.max(0, bytes.length - 16 + random.below(32)));
  writeInteger(bytes, at, size, random.oneIn(4) ? near : random.pick(extremes), random.oneIn(2));
  return bytes;
}

/** Writes the low `size` bytes of `value` at `at`. */
export function writeInteger(
  bytes: Uint8Array,
  at: number,
  size: number,
  value: bigint,
  littleEndian: boolean,
): void {
  for (let index = 0; index < size; index++) {
    const shift = BigInt(8 * (littleEndian ? index : size - 1 - index));
    bytes[at + index] = Number((value >> shift) & 0xffn);
  }
}

function flipBits(bytes: Uint8Array, random: FuzzRandom): Uint8Array {
  for (let left = 1 + random.below(4); left > 0 && bytes.length > 0; left--) {
    const at = random.below(bytes.length);
    bytes[at] = (bytes[at] as number) ^ (1 << random.below(8));
  }
  return bytes;
}

function nudgeByte(bytes: Uint8Array, random: FuzzRandom): Uint8Array {
  const at = random.below(bytes.length);
  if (bytes.length > 0) bytes[at] = (bytes[at] as number) + (random.oneIn(2) ? 1 : -1);
  return bytes;
}

function truncate(bytes: Uint8Array, random: FuzzRandom): Uint8Array {
  return bytes.slice(0, random.below(bytes.length));
}

function remove(bytes: Uint8Array, random: FuzzRandom): Uint8Array {
  const [from, to] = range(bytes.length, random);
  return joined(bytes.subarray(0, from), bytes.subarray(to));
}

function insertRandom(bytes: Uint8Array, random: FuzzRandom): Uint8Array {
  const at = random.below(bytes.length + 1);
  const made = Uint8Array.from({ length: 1 + random.below(16) }, () => random.below(256));
  return joined(bytes.subarray(0, at), made, bytes.subarray(at));
}

function repeat(bytes: Uint8Array, random: FuzzRandom): Uint8Array {
  const [from, to] = range(bytes.length, random);
  return joined(bytes.subarray(0, to), bytes.subarray(from));
}

function splice(bytes: Uint8Array, random: FuzzRandom, others: readonly Uint8Array[]): Uint8Array {
  if (others.length === 0) return bytes;
  const other = random.pick(others);
  const [from, to] = range(other.length, random);
  const at = random.below(bytes.length + 1);
  return joined(bytes.subarray(0, at), other.subarray(from, to), bytes.subarray(at));
}

/** A piece of something `length` long, short ones being likelier. */
function range(length: number, random: FuzzRandom): [from: number, to: number] {
  const from = random.below(length);
  const longest = random.oneIn(3) ? length - from : Math.min(length - from, 8);
  return [from, from + random.below(longest + 1)];
}

function joined(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}
