import type { LinearArithmetic } from "@wan-ts/schedulers";
import { isFloat, keep, multiply, scope, type Tensor, weightedSum } from "@wan-ts/tensor";

/** Weighted sums of native tensors for schedulers, with torch's rounding of 16-bit products. */
export const tensorArithmetic: LinearArithmetic<Tensor> = {
  weightedSum: (tensors, coefficients, dtypeOf) =>
    scope(() => {
      const terms = tensors.map((tensor, index) =>
        tensor.dtype === "float32"
          ? { tensor, coefficient: coefficients[index] as number }
          : { tensor: multiply(tensor, coefficients[index] as number).to("float32"), coefficient: 1 },
      );
      const sum = weightedSum(
        terms.map((term) => term.tensor),
        terms.map((term) => term.coefficient),
      );
      const widest = tensors.some((tensor) => tensor.dtype === "float32")
        ? "float32"
        : (tensors[0]?.dtype ?? "float32");
      const dtype = dtypeOf?.dtype ?? widest;
      return isFloat(dtype) ? sum.to(dtype) : sum;
    }),
  lifetimes: {
    keep: (tensor) => keep(tensor.share()),
    release: (tensor) => tensor.dispose(),
  },
};
