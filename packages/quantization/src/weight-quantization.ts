import type { WeightQuantization } from "@wan-ts/nn";
import type { Device } from "@wan-ts/tensor";
import type { QuantizationConfig } from "./config.ts";
import { Int8Weight } from "./int8-weight.ts";
import { Nf4Weight } from "./nf4-weight.ts";
import { defaultScaleLookup } from "./row-scales.ts";
import type { StoredQuantization } from "./stored-config.ts";
import { findStoredInt8 } from "./stored-int8.ts";
import { findStoredNf4 } from "./stored-nf4.ts";

/**
 * Reads weights that a checkpoint stores quantized; what it stores plain stays plain. `device` is where
 * they are restored, by default where each is loaded.
 */
export function storedQuantization(stored: StoredQuantization, device?: Device): WeightQuantization {
  return {
    stored: (name, shape, source) =>
      stored.kind === "nf4"
        ? findStoredNf4(name, shape, source, { ...stored, device })
        : findStoredInt8(name, shape, source, stored.computeDtype),
    quantize: () => undefined,
  };
}

/**
 * Quantizes weights that a checkpoint stores plain. `device` is where they are restored, by default where
 * each is quantized.
 */
export function quantizationOnLoad(config: QuantizationConfig, device?: Device): WeightQuantization {
  const skipped = config.skipModules ?? [];
  const isSkipped = (weight: string): boolean => {
    const layer = weight.slice(0, weight.lastIndexOf("."));
    return skipped.some((name) => name === layer || layer.split(".").includes(name));
  };
  return {
    stored: () => undefined,
    quantize: (name, weight) => {
      if (isSkipped(name)) return undefined;
      if (config.kind === "int8") return Int8Weight.quantize(weight, config.computeDtype);
      const { doubleQuantization = false, computeDtype } = config;
      const scaleLookup = config.scaleLookup ?? defaultScaleLookup(device ?? weight.device);
      return Nf4Weight.quantize(weight, { doubleQuantization, computeDtype, scaleLookup });
    },
  };
}
