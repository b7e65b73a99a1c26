import type { DType } from "@wan-ts/tensor";

interface StoredDType {
  /** Bits of an element. */
  readonly bits: number;
  /** The same type of a tensor, where tensors have it. */
  readonly dtype?: DType;
}

/** The element types of the safetensors format, by name. */
export const storedDTypes: ReadonlyMap<string, StoredDType> = new Map<string, StoredDType>([
  ["F32", { bits: 32, dtype: "float32" }],
  ["F16", { bits: 16, dtype: "float16" }],
  ["BF16", { bits: 16, dtype: "bfloat16" }],
  ["I32", { bits: 32, dtype: "int32" }],
  ["I64", { bits: 64, dtype: "int64" }],
  ["I8", { bits: 8, dtype: "int8" }],
  ["U8", { bits: 8, dtype: "uint8" }],
  ["F64", { bits: 64 }],
  ["U64", { bits: 64 }],
  ["C64", { bits: 64 }],
  ["U32", { bits: 32 }],
  ["I16", { bits: 16 }],
  ["U16", { bits: 16 }],
  ["BOOL", { bits: 8 }],
  ["F8_E4M3", { bits: 8 }],
  ["F8_E5M2", { bits: 8 }],
  ["F8_E8M0", { bits: 8 }],
  ["F8_E4M3FNUZ", { bits: 8 }],
  ["F8_E5M2FNUZ", { bits: 8 }],
  ["F6_E2M3", { bits: 6 }],
  ["F6_E3M2", { bits: 6 }],
  ["F4", { bits: 4 }],
]);

/** How tensors call the stored type `name`; `name` itself where they don't have it. */
export function tensorDTypeName(name: string): string {
  return storedDTypes.get(name)?.dtype ?? name;
}
