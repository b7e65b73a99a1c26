const STATE_SIZE = 624;
const SHIFT_SIZE = 397;
const MATRIX = 0x9908b0df;
const UPPER_MASK = 0x80000000;
const LOWER_MASK = 0x7fffffff;
const SEED_MULTIPLIER = 1812433253;

/** MT19937 of Matsumoto and Nishimura (1998), seeded by one 32-bit word (their `init_genrand`). */
export class MersenneTwister {
  readonly #state = new Int32Array(STATE_SIZE);
  #next = STATE_SIZE;

  /** @param seed its low 32 bits are taken */
  constructor(seed: number) {
    const state = this.#state;
    state[0] = seed;
    for (let i = 1; i < STATE_SIZE; i++) {
      const previous = state[i - 1]!;
      state[i] = Math.imul(SEED_MULTIPLIER, previous ^ (previous >>> 30)) + i;
    }
  }

  /** The next 32 random bits, as a signed integer. */
  nextInt32(): number {
    if (this.#next === STATE_SIZE) this.#regenerate();
    let word = this.#state[this.#next++]!;
    word ^= word >>> 11;
    word ^= (word << 7) & 0x9d2c5680;
    word ^= (word << 15) & 0xefc60000;
    return word ^ (word >>> 18);
  }

  #regenerate(): void {
    const state = this.#state;
    for (let i = 0; i < STATE_SIZE; i++) {
      const following = state[i + 1 < STATE_SIZE ? i + 1 : 0]!;
      const mixed = (state[i]! & UPPER_MASK) | (following & LOWER_MASK);
      const shifted = state[i + SHIFT_SIZE < STATE_SIZE ? i + SHIFT_SIZE : i + SHIFT_SIZE - STATE_SIZE]!;
      state[i] = shifted ^ (mixed >>> 1) ^ ((mixed & 1) === 0 ? 0 : MATRIX);
    }
    this.#next = 0;
  }
}
