import { dtypeSize, type RehearsedOperation } from "@wan-ts/tensor";
import type { Machine } from "./machine.ts";
import { elements, operandBytes } from "./operation-cost.ts";

const MiB = 2 ** 20;
/** The operand that a product packs for all threads, at a time: `SHARED_BYTES` of the kernels. */
const sharedBytes = 31 * MiB;
/** A thread's block of the other operand and its sums, at most 168 × 1536 of them. */
const productTaskBytes = 168 * (1536 + 256) * 4;
/** Packed keys and values of some heads at a time, of one at least: `PACKED_BYTES` of the kernels. */
const packedHeadsBytes = 8 * MiB;
/** A thread's 224 rows of queries and sums, each of at most 512 channels. */
const attentionTaskBytes = 224 * 2 * 512 * 4;

/** Bytes that the CPU kernels work in beside an operation's operands, at most. */
export function kernelScratch(
  { operation, inputs }: RehearsedOperation,
  { threads, instructionSet }: Pick<Machine, "threads" | "instructionSet">,
): number {
  const [first, second] = inputs;
  if (!first || !second) return 0;
  // Elsewhere 16-bit operands are widened as they are packed.
  const narrow = first.dtype === "bfloat16" && instructionSet === "avx512bf16";
  const packedSize = narrow ? 2 : dtypeSize("float32");
  switch (operation) {
    case "linear": {
      const depth = first.shape.at(-1) ?? 0;
      const rows = Math.min(elements(first) / Math.max(1, depth), second.shape[0] ?? 0);
      return Math.min(sharedBytes, rows * depth * packedSize) + threads * productTaskBytes;
    }
    case "conv3d": {
      // The weight is brought into the order of the channels first.
      const weight = operandBytes(second);
      const packed = elements(second) * packedSize;
      return weight + Math.min(sharedBytes, packed) + threads * productTaskBytes;
    }
    case "attention":
    case "attentionPiece": {
      const [batch = 0, keys = 0, heads = 0, headDim = 0] = second.shape;
      const head = 2 * keys * headDim * packedSize;
      return Math.min(batch * heads * head, Math.max(packedHeadsBytes, head)) + threads * attentionTaskBytes;
    }
    default:
      return 0;
  }
}
