import type { RehearsedOperation } from "@wan-ts/tensor";
import type { MachineSpeed } from "./machine.ts";
import { elements, type OperationKind, operationCost } from "./operation-cost.ts";

/**
 * The share of the machine's peak that the CPU kernels reach with shapes of these models, by whether
 * operands are multiplied in 16 bits. Found by tracing runs of random models of 1.3B's width, on one
 * thread with AVX-512; a plan's seconds are as good as these.
 */
const sharesOfPeak: Readonly<
  Record<Exclude<OperationKind, "other">, { readonly wide: number; readonly narrow: number }>
> = {
  linear: { wide: 0.8, narrow: 0.75 },
  attention: { wide: 0.7, narrow: 0.6 },
  conv3d: { wide: 0.9, narrow: 0.8 },
};

/** The share of the bandwidth that other operations reach: most write memory that is new to them. */
const shareOfBandwidth = 0.25;

/** What an operation takes to be handed over and begun. */
const overheadSeconds = 8e-6;

/** Seconds that all runs of an operation take. */
export function operationSeconds(operation: RehearsedOperation, speed: MachineSpeed): number {
  const { kind, flops, bytes } = operationCost(operation);
  if (kind === "other") {
    return operation.count * (bytes / (speed.bandwidth * shareOfBandwidth) + overheadSeconds);
  }
  const { float32, bfloat16 } = speed.peak;
  const narrow = operation.inputs[0]?.dtype === "bfloat16" && bfloat16 !== undefined;
  const peak = narrow ? bfloat16 : float32;
  const computing = flops / (peak * sharesOfPeak[kind][narrow ? "narrow" : "wide"]);
  const packing = packedBytes(operation) / speed.bandwidth;
  return operation.count * (computing + packing + overheadSeconds);
}

/**
 * Bytes that a convolution reads and writes to lay out its patches, which overlap: much where it has
 * few output channels to multiply them by. Other products are bound by arithmetic.
 */
function packedBytes({ operation, inputs, outputs }: RehearsedOperation): number {
  const [weight, output] = [inputs[1], outputs[0]];
  if (operation !== "conv3d" || !weight || !output) return 0;
  const positions = elements(output) / Math.max(1, output.shape.at(-1) ?? 1);
  const patch = elements(weight) / Math.max(1, weight.shape[0] ?? 1);
  return 2 * positions * patch * Float32Array.BYTES_PER_ELEMENT;
}
