import type { NativeProcessGroup } from "@wan-ts/binding";
import { callOperation } from "./call-operation.ts";

/** How devices exchange: `nccl`, `staged`, or unset for NCCL where it can be. The same on all ranks. */
export const collectivesVariable = "WAN_CUDA_COLLECTIVES";

/** How the CUDA devices of a run's ranks exchange. */
export type DeviceCollectives =
  | {
      /** From device to device. */
      readonly kind: "nccl";
      /** NCCL's. */
      readonly version: string;
    }
  | {
      /** Through the memory of their machines. */
      readonly kind: "staged";
      /** Why not by NCCL. */
      readonly reason: string;
    };

/** @internal See `Ranks.connectDevice`. */
export function connectDevices(
  world: NativeProcessGroup,
  device: string,
  wanted: string | undefined,
): DeviceCollectives {
  const { kind, detail } = callOperation(() => world.connectDevices(device, wanted));
  return kind === "nccl" ? { kind, version: detail } : { kind: "staged", reason: detail };
}
