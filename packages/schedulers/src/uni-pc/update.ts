import type { UniPcConfig } from "../config/scheduler-config.ts";
import { solveLinearSystem } from "./solve-linear-system.ts";

/** Weights of one UniPC update: `sample · x + Σ outputs[i] · m_i`, converted model outputs newest first. */
export interface UniPcUpdate {
  readonly sample: number;
  readonly outputs: readonly number[];
}

// diffusers holds each of the numbers below in a 0-dim float32 tensor. Near the ends of the schedule the difference
// of two logarithms loses digits, so its result is only met by rounding where it rounds.
const float32 = Math.fround;

/** λ = log α − log σ of a flow-matching model, α = 1 − σ; infinite at σ = 0. */
function logSignalToNoise(sigma: number): number {
  const alpha = float32(1 - sigma);
  return float32(float32(Math.log(alpha)) - float32(Math.log(sigma)));
}

/**
 * What Theorem 3.1 of UniPC (arXiv 2302.04867) asks of the residuals' weights, for data prediction (step size −h):
 * `B(h)` and the right sides `b_k = φ_k k! / B(h)`; `hPhi1` is `e^−h − 1`.
 */
function residualScale(h: number, order: number, solverType: UniPcConfig["solverType"]) {
  const hPhi1 = float32(Math.expm1(-h));
  const B = solverType === "bh1" ? -h : hPhi1;
  const b: number[] = [];
  let hPhiK = float32(float32(hPhi1 / -h) - 1);
  let factorial = 1;
  for (let k = 1; k <= order; k++) {
    b.push(float32(float32(hPhiK * factorial) / B));
    factorial *= k + 1;
    hPhiK = float32(float32(hPhiK / -h) - float32(1 / factorial));
  }
  return { hPhi1, B, b };
}

/** Solves Σ_j ρ_j r_j^(k−1) = b_k for the weights ρ of the residuals, as many as there are step ratios r. */
function residualWeights(ratios: readonly number[], b: readonly number[]): number[] {
  if (ratios.length === 0) return [];
  // As the paper and diffusers have it: a single residual has weight 1/2, whatever h.
  if (ratios.length === 1) return [0.5];
  const vandermonde = ratios.map((_, power) => ratios.map((ratio) => float32(ratio ** power)));
  return solveLinearSystem(vandermonde, b.slice(0, ratios.length)).map(float32);
}

/**
 * Weights of the UniP-p predictor or the UniC-p corrector, in the paper's form for data prediction
 * (diffusers: multistep_uni_p_bh_update, multistep_uni_c_bh_update).
 *
 * @param sigmas the schedule
 * @param from index of the noise level that the update leaves; it arrives at `from + 1`
 * @param order p: the number of outputs known up to `from` that enter, at most `from + 1`
 * @param role a corrector also takes the output at the level it arrives at, which then comes first in `outputs`
 */
export function uniPcUpdate(
  sigmas: readonly number[],
  from: number,
  order: number,
  solverType: UniPcConfig["solverType"],
  role: "predictor" | "corrector",
): UniPcUpdate {
  const sigmaFrom = sigmas[from]!;
  const sigmaTo = sigmas[from + 1]!;
  const lambdaFrom = logSignalToNoise(sigmaFrom);
  const h = float32(logSignalToNoise(sigmaTo) - lambdaFrom);
  const earlierRatios = Array.from({ length: order - 1 }, (_, i) =>
    float32(float32(logSignalToNoise(sigmas[from - 1 - i]!) - lambdaFrom) / h),
  );
  const ratios = role === "corrector" ? [...earlierRatios, 1] : earlierRatios;

  const { hPhi1, B, b } = residualScale(h, order, solverType);
  const rho = residualWeights(ratios, b);
  const alphaTo = float32(1 - sigmaTo);
  // Weight of each residual (m_i − m_0) / r_i. With no residual there is none: for bh1 B(h) is then infinite at σ = 0.
  const weights = rho.map((weight, i) => (-float32(alphaTo * B) * weight) / ratios[i]!);
  const latest = weights.reduce((rest, weight) => rest - weight, -float32(alphaTo * hPhi1));
  const earlier = weights.slice(0, order - 1);
  const arriving = weights.slice(order - 1);
  return { sample: float32(sigmaTo / sigmaFrom), outputs: [...arriving, latest, ...earlier] };
}
