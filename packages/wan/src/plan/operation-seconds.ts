import type { RehearsedOperation } from "@wan-ts/tensor";
import type { MachineSpeed } from "./machine.ts";
import { type OperationKind, operationCost } from "./operation-cost.ts";

/**
 * The share of the machine's peak that the CPU kernels reach with shapes of these models: medians of
 * `bun run bench --only linear,attention,conv3d`. A plan's seconds are as good as these.
 */
const sharesOfPeak: Readonly<
  Record<Exclude<OperationKind, "other">, { readonly wide: number; readonly narrow: number }>
> = {
  linear: { wide: 0.85, narrow: 0.7 },
  attention: { wide: 0.7, narrow: 0.5 },
  conv3d: { wide: 0.75, narrow: 0.6 },
};

/** What an operation takes to be handed over and begun. */
const overheadSeconds = 8e-6;

/** Seconds that all runs of an operation take, by the slower of arithmetic and memory. */
export function operationSeconds(operation: RehearsedOperation, speed: MachineSpeed): number {
  const { kind, flops, bytes } = operationCost(operation);
  const moving = bytes / speed.bandwidth;
  const { float32, bfloat16 } = speed.peak;
  const narrow = operation.inputs[0]?.dtype === "bfloat16" && bfloat16 !== undefined;
  const computing =
    kind === "other"
      ? 0
      : flops / ((narrow ? bfloat16 : float32) * sharesOfPeak[kind][narrow ? "narrow" : "wide"]);
  return operation.count * (Math.max(moving, computing) + overheadSeconds);
}
