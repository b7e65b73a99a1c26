/** Element types, as torch and safetensors name them. */
export const dtypes = ["float32", "bfloat16", "float16", "int32", "int64", "int8", "uint8"] as const;

/** An element type. */
export type DType = (typeof dtypes)[number];

/** Where a tensor lives and is computed: this machine's processor, or the CUDA device of that index. */
export type Device = "cpu" | `cuda:${number}`;

/** Bytes of one element. */
export function dtypeSize(dtype: DType): number {
  switch (dtype) {
    case "float32":
    case "int32":
      return 4;
    case "bfloat16":
    case "float16":
      return 2;
    case "int64":
      return 8;
    case "int8":
    case "uint8":
      return 1;
  }
}

/** Whether the type is a floating-point one. */
export function isFloat(dtype: DType): boolean {
  return dtype === "float32" || dtype === "bfloat16" || dtype === "float16";
}
