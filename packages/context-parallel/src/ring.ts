import type { AttentionResult } from "@wan-ts/attention";
import type { ProcessGroup } from "@wan-ts/distributed";
import { mergeAttention, type Tensor } from "@wan-ts/tensor";
import type { AttentionOverRanks } from "./hooks.ts";

/**
 * Attention by a ring (Liu, Zaharia and Abbeel 2023): keys and values go round the members, each of which
 * attends with its own queries to what it has, while the next hop is under way. Results are merged by
 * their log-sum-exp, kept in float32 and rounded once.
 *
 * @param tokens how many each member has keys and values of, in the pass under way.
 */
export function ringAttention(group: ProcessGroup, tokens: () => readonly number[]): AttentionOverRanks {
  const { size, index } = group;
  const [next, previous] = [(index + 1) % size, (index + size - 1) % size];
  return (call, attend) => {
    const sizes = tokens();
    const [batch, , heads, headDim] = call.key.shape as readonly [number, number, number, number];
    const dtype = call.query.dtype;
    let key = call.key.share();
    let value = call.value.share();
    let merged: Required<AttentionResult> | undefined;
    for (let hop = 0; hop < size; hop++) {
      const coming = [batch, sizes[(index + size - hop - 1) % size]!, heads, headDim];
      const pass = (tensor: Tensor): Tensor => group.exchange(tensor, next, previous, coming);
      // Before attention is submitted, so that both go on together.
      const arriving = hop + 1 < size ? { key: pass(key), value: pass(value) } : undefined;
      const part = attend({ ...call, key, value, returnLogSumExp: true }) as Required<AttentionResult>;
      key.dispose();
      value.dispose();
      if (arriving) ({ key, value } = arriving);
      if (merged) {
        const both = mergeAttention(merged, part);
        for (const { output, logSumExp } of [merged, part]) {
          output.dispose();
          logSumExp.dispose();
        }
        merged = both;
      } else {
        merged = { output: part.output.to("float32"), logSumExp: part.logSumExp };
        part.output.dispose();
      }
    }
    const { output, logSumExp } = merged as Required<AttentionResult>;
    logSumExp.dispose();
    const rounded = output.to(dtype);
    if (rounded !== output) output.dispose();
    return { output: rounded };
  };
}
