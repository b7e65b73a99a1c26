import type { AttentionResult } from "@wan-ts/attention";
import type { ProcessGroup } from "@wan-ts/distributed";
import { mergeAttention, type PartialAttention, type Tensor } from "@wan-ts/tensor";
import type { AttentionOverRanks } from "./hooks.ts";

/**
 * Attention by a ring (Liu, Zaharia and Abbeel 2023): keys and values go round the members, each of which
 * attends with its own queries to what it has, while the next hop is under way. Results are merged by
 * their log-sum-exp, with its residue where the backend gives it; what is merged is kept in float32 and
 * rounded once.
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
    let merged: PartialAttention | undefined;
    for (let hop = 0; hop < size; hop++) {
      const coming = [batch, sizes[(index + size - hop - 1) % size]!, heads, headDim];
      const pass = (tensor: Tensor): Tensor => group.exchange(tensor, next, previous, coming);
      // Before attention is submitted, so that both go on together.
      const arriving = hop + 1 < size ? { key: pass(key), value: pass(value) } : undefined;
      const part = partOf(attend({ ...call, key, value, returnLogSumExp: true }));
      key.dispose();
      value.dispose();
      if (arriving) ({ key, value } = arriving);
      if (merged) {
        const both = mergeAttention(merged, part);
        disposeAll(merged);
        disposeAll(part);
        merged = both;
      } else {
        merged = { ...part, output: part.output.to("float32") };
        part.output.dispose();
      }
    }
    const { output, ...sums } = merged as PartialAttention;
    const rounded = output.to(dtype);
    output.dispose();
    disposeAll(sums);
    return { output: rounded };
  };
}

/** A backend that doesn't give the log-sum-exp has been refused when the model was split. */
function partOf({ output, logSumExp, logSumExpResidue }: AttentionResult): PartialAttention {
  return { output, logSumExp: logSumExp!, logSumExpResidue };
}

function disposeAll(part: Partial<PartialAttention>): void {
  for (const tensor of [part.output, part.logSumExp, part.logSumExpResidue]) tensor?.dispose();
}
