import type { AttentionCall, AttentionResult } from "@wan-ts/attention";
import type { ProcessGroup } from "@wan-ts/distributed";
import { type KeyPiece, mergeAttention, type PartialAttention, type Tensor } from "@wan-ts/tensor";
import type { AttentionOverRanks } from "./hooks.ts";

/**
 * Attention by a ring (Liu, Zaharia and Abbeel 2023): keys and values go round the members, and the next
 * hop is under way while one attends.
 *
 * Where the backend takes keys in pieces, they go round in the order of the sequence: each member's from it
 * to the one before it. All members attend to the first member's first, so the last of them
 * begins when those have come all the way; every row sums over the same keys in the same order as on
 * one rank, and has the same bytes.
 *
 * Elsewhere each member begins with its own. Results are merged by their log-sum-exp, with its residue
 * where the backend gives it; what is merged is kept in float32 and rounded once.
 *
 * @param tokens how many each member has keys and values of, in the pass under way.
 * @param takesPieces whether the backend at work takes keys in pieces; the same on all members.
 */
export function ringAttention(
  group: ProcessGroup,
  tokens: () => readonly number[],
  takesPieces: () => boolean,
): AttentionOverRanks {
  const merging = mergingRing(group, tokens);
  return (call, attend) => {
    if (!takesPieces()) return merging(call, attend);
    const pieces = inOrder(group, tokens(), call);
    try {
      const first = pieces.next().value as KeyPiece;
      return attend({ ...call, ...first, following: pieces });
    } finally {
      pieces.return();
    }
  };
}

/** The members' keys and values, from the first member's on; each is disposed when the next is asked for. */
function* inOrder(
  group: ProcessGroup,
  sizes: readonly number[],
  { key, value }: AttentionCall,
): Generator<KeyPiece, void, void> {
  const { size, index } = group;
  const [next, previous] = [(index + 1) % size, (index + size - 1) % size];
  const [batch, , heads, headDim] = key.shape as readonly [number, number, number, number];
  for (let owner = 0; owner < size; owner++) {
    const shape = [batch, sizes[owner]!, heads, headDim];
    const pieceOf = (own: Tensor): Tensor =>
      owner === index
        ? own.share()
        : group.receive({ shape, dtype: own.dtype, device: own.device }, previous);
    const piece = { key: pieceOf(key), value: pieceOf(value) };
    try {
      if (owner !== next) {
        group.post(piece.key, next);
        group.post(piece.value, next);
      }
      yield piece;
    } finally {
      piece.key.dispose();
      piece.value.dispose();
    }
  }
}

/** A ring in which each member begins with its own keys, and merges. */
function mergingRing(group: ProcessGroup, tokens: () => readonly number[]): AttentionOverRanks {
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
