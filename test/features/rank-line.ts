import type { WeightBytes } from "@wan-ts/nn";

/** All-gathers: how many, and the bytes of others' features. */
export interface Gathers {
  readonly count: number;
  readonly bytesSent: number;
  readonly bytesReceived: number;
}

/** What a rank writes of one encoder. */
export interface RankLine {
  readonly name: string;
  /** Of the states of each input, type and shape included. */
  readonly digests: readonly string[];
  readonly weights: WeightBytes;
  /** What the ledger has of it. */
  readonly gathers: Gathers;
  /** What the plan has of it. */
  readonly expected: Gathers;
}
