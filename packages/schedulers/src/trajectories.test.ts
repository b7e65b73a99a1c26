import { describe, expect, test } from "bun:test";
import recorded from "../fixtures/trajectories.json";
import { createScheduler, type LinearArithmetic } from "./index.ts";

interface RoundedArray {
  readonly dtype: "float32" | "bfloat16";
  readonly values: readonly number[];
}

/** Rounds to float32, then to bfloat16, ties to even. */
function bfloat16(value: number): number {
  const bits = new Uint32Array(new Float32Array([value]).buffer);
  const word = bits[0]!;
  bits[0] = (word + 0x7fff + ((word >>> 16) & 1)) & 0xffff0000;
  return new Float32Array(bits.buffer)[0]!;
}

function rounded(dtype: RoundedArray["dtype"], values: readonly number[]): RoundedArray {
  const round = dtype === "bfloat16" ? bfloat16 : Math.fround;
  return { dtype, values: values.map(round) };
}

/** The arithmetic as its interface describes it, on arrays. */
const arithmetic: LinearArithmetic<RoundedArray> = {
  weightedSum(tensors, coefficients, dtypeOf) {
    const products = tensors.map(({ dtype, values }, i) =>
      values.map((value) => {
        const coefficient = coefficients[i]!;
        return dtype === "bfloat16" ? bfloat16(bfloat16(coefficient) * value) : coefficient * value;
      }),
    );
    const sums = products[0]!.map((_, j) => products.reduce((sum, product) => sum + product[j]!, 0));
    const widest = tensors.some(({ dtype }) => dtype === "float32") ? "float32" : "bfloat16";
    return rounded(dtypeOf?.dtype ?? widest, sums);
  },
};

/** sin(3x + t/200) in float32, the model of the recorded trajectories. */
function model(sample: RoundedArray, timestep: number): RoundedArray {
  const phase = Math.fround(timestep / 200);
  return rounded(
    "float32",
    sample.values.map((x) => Math.sin(Math.fround(Math.fround(3 * x) + phase))),
  );
}

describe("trajectories of diffusers", () => {
  for (const { config, steps, outputDtype, timesteps, sigmas, states, ...more } of recorded.cases) {
    const shift = "flow_shift" in config && !("shift" in config) ? config.flow_shift : config.shift;
    const options = `shift ${shift}, ${steps} steps, ${JSON.stringify(distinguishing(config))}`;
    test(`${config._class_name}, ${options}, ${outputDtype} outputs`, () => {
      const run = createScheduler(config).start(steps, arithmetic);
      expect(run.timesteps).toEqual(timesteps);
      expect(run.sigmas).toEqual(sigmas);
      let sample = rounded("float32", recorded.first);
      for (const [index, state] of states.entries()) {
        const output =
          "outputs" in more
            ? rounded("bfloat16", more.outputs[index]!)
            : model(sample, run.timesteps[index]!);
        sample = run.step(output, sample);
        expect(relativeError(sample.values, state)).toBeLessThan(1e-6);
      }
      expect(run.stepsTaken).toBe(steps);
    });
  }
});

function distinguishing(config: Record<string, unknown>): Record<string, unknown> {
  const keys = ["solver_order", "solver_type", "lower_order_final", "final_sigmas_type", "disable_corrector"];
  return Object.fromEntries([...keys, "shift_terminal"].map((key) => [key, config[key]]));
}

/** L2 norm of the difference over that of what is expected. */
function relativeError(actual: readonly number[], expected: readonly number[]): number {
  return Math.hypot(...actual.map((value, i) => value - expected[i]!)) / Math.hypot(...expected);
}
