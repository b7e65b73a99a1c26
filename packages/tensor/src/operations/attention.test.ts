import { afterEach, describe, expect, test } from "bun:test";
import {
  type AttentionResult,
  attention,
  Generator,
  memory,
  mergeAttention,
  type PartialAttention,
  scope,
  synchronize,
  Tensor,
} from "../index.ts";

afterEach(async () => {
  await synchronize();
  expect(memory().liveStorages).toBe(0);
});

const [queries, keys, heads, headDim] = [7, 500, 2, 64];

/** Query, key and value whose scores are about 75, where a float32 has a step of 8e-6. */
function draw(): Record<"query" | "key" | "value", Tensor> {
  const generator = new Generator(5);
  const of = (tokens: number, offset: number): Tensor => {
    const numbers = generator.randn(tokens * heads * headDim).map((value) => 0.3 * value + offset);
    return Tensor.from(numbers, [1, tokens, heads, headDim]);
  };
  return { query: of(queries, 3), key: of(keys, 3), value: of(keys, 0) };
}

/** ‖found − expected‖₂ / ‖expected‖₂. */
function distance(found: Tensor, expected: Tensor): number {
  const [left, right] = [found.floatsBlocking(), expected.floatsBlocking()];
  return Math.hypot(...left.map((value, at) => value - right[at]!)) / Math.hypot(...right);
}

describe("attention in parts of the keys", () => {
  test("is that in one piece, to a millionth where the log-sum-exp keeps its residue", () => {
    scope(() => {
      const { query, key, value } = draw();
      const attend = (start: number, end: number) =>
        attention(query, key.slice(1, start, end), value.slice(1, start, end), { returnLogSumExp: true });
      const whole = attend(0, keys);
      const parts = [attend(0, 120), attend(120, 121), attend(121, 380), attend(380, keys)];
      const merge = (residues: boolean) =>
        parts
          .map(({ output, logSumExp, logSumExpResidue }): PartialAttention => {
            return {
              output,
              logSumExp: logSumExp!,
              logSumExpResidue: residues ? logSumExpResidue : undefined,
            };
          })
          .reduce((first, second) => {
            const { logSumExpResidue, ...merged } = mergeAttention(first, second);
            return residues ? { ...merged, logSumExpResidue } : merged;
          });
      const [exact, rounded] = [merge(true), merge(false)];
      expect(distance(exact.output, whole.output)).toBeLessThan(5e-7);
      expect(distance(rounded.output, whole.output)).toBeGreaterThan(1e-6);
      const [found, expected] = [exact, whole].map(({ logSumExp, logSumExpResidue }) => {
        const residue = logSumExpResidue!.floatsBlocking();
        return Float64Array.from(logSumExp!.floatsBlocking(), (sum, row) => sum + residue[row]!);
      });
      for (const [row, sum] of found!.entries()) expect(Math.abs(sum - expected![row]!)).toBeLessThan(5e-7);
    });
  });

  test("refuses a residue of other rows", () => {
    scope(() => {
      const { query, key, value } = draw();
      const part = attention(query, key, value, { returnLogSumExp: true }) as Required<AttentionResult>;
      const other = { ...part, logSumExpResidue: part.logSumExpResidue.slice(1, 1) };
      expect(() => mergeAttention(part, other)).toThrow(
        /mergeAttention: secondLogSumExpResidue .*\[1, 6, 2\]/,
      );
      expect(() => mergeAttention(other, part)).toThrow(/mergeAttention: firstLogSumExpResidue/);
    });
  });
});
