export {
  int8,
  type Nf4Options,
  nf4,
  type QuantizableComponent,
  type QuantizationConfig,
  type QuantizationOptions,
  quantizableComponents,
} from "./config.ts";
export { dynamicTable } from "./dynamic-table.ts";
export { type Int8Parts, Int8Weight } from "./int8-weight.ts";
export {
  type NestedScales,
  type Nf4Parts,
  type Nf4Settings,
  Nf4Weight,
  nf4BlockSize,
} from "./nf4-weight.ts";
export type { ScaleLookup } from "./row-scales.ts";
export { type StoredQuantization, storedQuantizationSchema } from "./stored-config.ts";
export { quantizationOnLoad, storedQuantization } from "./weight-quantization.ts";
