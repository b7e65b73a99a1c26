import { dtypeSize, type Operand, type RehearsedOperation } from "@wan-ts/tensor";

/** Kinds of operations, by what limits them. */
export const operationKinds = ["linear", "attention", "conv3d", "other"] as const;

/** See {@link operationKinds}; `other` moves memory rather than computes. */
export type OperationKind = (typeof operationKinds)[number];

/** What one run of an operation takes. */
export interface OperationCost {
  readonly kind: OperationKind;
  /** Floating-point operations; a product and a sum count as two. Of `other` one for each result. */
  readonly flops: number;
  /** Bytes read and written, each once. */
  readonly bytes: number;
}

/** What one run of an operation takes, by its operands. */
export function operationCost(operation: RehearsedOperation): OperationCost {
  const { inputs, outputs } = operation;
  const bytes = [...inputs, ...outputs].reduce((sum, operand) => sum + operandBytes(operand), 0);
  return { ...flopsOf(operation), bytes };
}

function flopsOf({ operation, inputs, outputs }: RehearsedOperation): Pick<OperationCost, "kind" | "flops"> {
  const results = outputs.reduce((sum, operand) => sum + elements(operand), 0);
  switch (operation) {
    case "linear": {
      const depth = inputs[0]?.shape.at(-1) ?? 0;
      return { kind: "linear", flops: 2 * results * depth };
    }
    case "conv3d": {
      const [, ...patch] = inputs[1]?.shape ?? []; // (C, kT, kH, kW) of the weight.
      return { kind: "conv3d", flops: 2 * results * product(patch) };
    }
    case "attention":
    case "attentionPiece": {
      const [batch = 0, queries = 0, heads = 0, headDim = 0] = inputs[0]?.shape ?? [];
      const keys = inputs[1]?.shape[1] ?? 0;
      // Scores, then their sums of values.
      return { kind: "attention", flops: 4 * batch * heads * queries * keys * headDim };
    }
    default:
      return { kind: "other", flops: results };
  }
}

/** Elements of an operand. */
export function elements({ shape }: Operand): number {
  return product(shape);
}

/** Bytes of an operand, were it contiguous. */
export function operandBytes(operand: Operand): number {
  return elements(operand) * dtypeSize(operand.dtype);
}

function product(sizes: readonly number[]): number {
  return sizes.reduce((result, size) => result * size, 1);
}
