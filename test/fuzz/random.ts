/**
 * Random numbers of one fuzz case, a function of its seed alone (mulberry32, started from a hash of
 * the seed so that neighbouring seeds have nothing in common).
 */
export class FuzzRandom {
  #state: number;

  constructor(seed: number) {
    this.#state = mix(mix(seed >>> 0) ^ Math.floor(seed / 2 ** 32));
  }

  /** An integer from 0 to 2³² − 1. */
  uint32(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let value = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61);
    return (value ^ (value >>> 14)) >>> 0;
  }

  /** An integer from 0 to `end` − 1; 0 where `end` is 0. */
  below(end: number): number {
    return end <= 0 ? 0 : Math.floor((this.uint32() / 2 ** 32) * end);
  }

  /** True once in `times`. */
  oneIn(times: number): boolean {
    return this.below(times) === 0;
  }

  /** One of `list`, which isn't empty. */
  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T;
  }
}

/** The finalizer of MurmurHash3. */
function mix(value: number): number {
  let hash = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
