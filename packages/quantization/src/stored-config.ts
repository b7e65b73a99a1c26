import { type DType, dtypes, isFloat } from "@wan-ts/tensor";
import { z } from "zod";
import type { ScaleLookup } from "./row-scales.ts";

/** How a part of a checkpoint is stored quantized, by its `quantization_config`. */
export type StoredQuantization = {
  /** The dtype that products are computed in; undefined means the model's. */
  readonly computeDtype: DType | undefined;
} & (
  | {
      readonly kind: "nf4";
      readonly doubleQuantization: boolean;
      /** Where scales are looked up, which no file says; by default as bitsandbytes does on the device. */
      readonly scaleLookup?: ScaleLookup | undefined;
    }
  | { readonly kind: "int8" }
);

const floats = dtypes.filter(isFloat);
const flag = z.boolean({ error: "true or false" });

function only<const Value extends string | boolean>(value: Value, note = "") {
  return z.literal(value, { error: `${JSON.stringify(value)}${note}` });
}

/**
 * The `quantization_config` of a part's config.json, for weights that bitsandbytes quantized: 4-bit
 * normal floats or LLM.int8(). Keys that a file leaves out have the defaults of transformers'
 * `BitsAndBytesConfig`; keys that say nothing of how weights are stored are left out.
 */
export const storedQuantizationSchema = z
  .object(
    {
      quant_method: only("bitsandbytes", ": no other method is supported"),
      load_in_4bit: flag.default(false),
      load_in_8bit: flag.default(false),
      bnb_4bit_quant_type: z.enum(["nf4", "fp4"], { error: '"nf4"' }).default("fp4"),
      bnb_4bit_use_double_quant: flag.default(false),
      bnb_4bit_compute_dtype: z.enum(floats, { error: floats.join(", ") }).default("float32"),
      bnb_4bit_quant_storage: only("uint8", ": packed codes as bytes").default("uint8"),
      llm_int8_has_fp16_weight: only(false, ": weights stored as 8-bit integers").default(false),
    },
    { error: "a JSON object" },
  )
  .superRefine((config, context) => {
    const report = (key: string, message: string): void =>
      context.addIssue({ code: "custom", path: [key], message });
    if (config.load_in_4bit === config.load_in_8bit) {
      report("load_in_4bit", `${!config.load_in_8bit}, as load_in_8bit is ${config.load_in_8bit}`);
    }
    if (config.load_in_4bit && config.bnb_4bit_quant_type !== "nf4") {
      report("bnb_4bit_quant_type", `"nf4": weights in other 4-bit types can't be loaded`);
    }
  })
  .transform((config): StoredQuantization => {
    if (config.load_in_8bit) return { kind: "int8", computeDtype: undefined };
    return {
      kind: "nf4",
      doubleQuantization: config.bnb_4bit_use_double_quant,
      computeDtype: config.bnb_4bit_compute_dtype,
    };
  });
