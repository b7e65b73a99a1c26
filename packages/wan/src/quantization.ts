import type { ModelDirectory } from "@wan-ts/hub";
import type { WeightQuantization } from "@wan-ts/nn";
import {
  type QuantizableComponent,
  type QuantizationConfig,
  quantizationOnLoad,
  type StoredQuantization,
  storedQuantization,
} from "@wan-ts/quantization";
import type { Device } from "@wan-ts/tensor";
import { CheckpointError } from "./errors.ts";

/**
 * How the weights of a part are read: as they are stored, where that is quantized, else as `asked`.
 * What is stored quantized can't be quantized another way; asking for the way it is stored is fine.
 * The model computes on `device`, wherever its weights are held.
 *
 * @throws {CheckpointError}
 */
export function chooseQuantization(
  directory: ModelDirectory,
  component: QuantizableComponent,
  stored: StoredQuantization | null,
  asked: QuantizationConfig | undefined,
  device: Device,
): WeightQuantization | undefined {
  const wanted = asked && (asked.components?.includes(component) ?? true) ? asked : undefined;
  if (!stored) return wanted && quantizationOnLoad(wanted, device);
  if (wanted && !agree(wanted, stored)) {
    const { folder } = directory.component(component);
    throw new CheckpointError(folder, `unquantized weights, to make ${describe(wanted)}`, describe(stored));
  }
  const computeDtype = wanted?.computeDtype ?? stored.computeDtype;
  if (stored.kind === "int8" || wanted?.kind !== "nf4")
    return storedQuantization({ ...stored, computeDtype }, device);
  return storedQuantization({ ...stored, computeDtype, scaleLookup: wanted.scaleLookup }, device);
}

function agree(wanted: QuantizationConfig, stored: StoredQuantization): boolean {
  if (wanted.kind === "int8" || stored.kind === "int8") return wanted.kind === stored.kind;
  return (wanted.doubleQuantization ?? stored.doubleQuantization) === stored.doubleQuantization;
}

function describe(quantization: StoredQuantization | QuantizationConfig): string {
  if (quantization.kind === "int8") return "int8 weights";
  return quantization.doubleQuantization ? "nf4 weights with quantized scales" : "nf4 weights";
}
