import type { ModuleNode } from "@wan-ts/nn";
import { allFinite, isFloat, Tensor } from "@wan-ts/tensor";

/** A parameter with values that are not finite. */
export interface DamagedWeight {
  /** The model it belongs to, such as `transformer`. */
  readonly model: string;
  /** Its name in the checkpoint. */
  readonly parameter: string;
}

/** The first parameter of `models` that has NaN or infinity in it, if there is one. Reads every weight. */
export async function findDamagedWeight(
  models: Readonly<Record<string, ModuleNode | undefined>>,
): Promise<DamagedWeight | undefined> {
  for (const [model, module] of Object.entries(models)) {
    for (const [name, parameter] of module?.namedParameters() ?? []) {
      const { held } = parameter;
      using tensor = held instanceof Tensor ? held.share() : held?.dequantize();
      if (tensor && isFloat(tensor.dtype) && !(await allFinite(tensor))) return { model, parameter: name };
    }
  }
  return undefined;
}
