import { describe, expect, test } from "bun:test";
import { createScheduler, FlowMatchEulerScheduler, SchedulerConfigError, UniPcScheduler } from "./index.ts";

const wan = {
  _class_name: "UniPCMultistepScheduler",
  _diffusers_version: "0.42.1",
  prediction_type: "flow_prediction",
  use_flow_sigmas: true,
  flow_shift: 3,
};
const euler = { _class_name: "FlowMatchEulerDiscreteScheduler", shift: 5 };

function refusal(json: unknown, options?: Parameters<typeof createScheduler>[1]): SchedulerConfigError {
  try {
    createScheduler(json, options);
  } catch (error) {
    if (error instanceof SchedulerConfigError) return error;
    throw error;
  }
  throw new Error("the config was accepted");
}

describe("createScheduler", () => {
  test("makes the class that the config names, with diffusers' defaults", () => {
    expect(createScheduler(wan).config).toEqual({
      kind: "unipc",
      numTrainTimesteps: 1000,
      solverOrder: 2,
      solverType: "bh2",
      lowerOrderFinal: true,
      disableCorrector: [],
      flowShift: 3,
      finalSigmasType: "zero",
      shiftTerminal: null,
    });
    expect(createScheduler(euler)).toBeInstanceOf(FlowMatchEulerScheduler);
  });

  test("takes over the shift when the kind changes, either way", () => {
    expect(createScheduler(wan, { kind: "euler" }).config).toMatchObject({ kind: "euler", flowShift: 3 });
    expect(createScheduler(euler, { kind: "unipc" }).config).toMatchObject({ kind: "unipc", flowShift: 5 });
  });

  test("lets a given shift win over the checkpoint's", () => {
    expect(createScheduler(wan, { kind: "euler", flowShift: 8 }).config.flowShift).toBe(8);
    expect(createScheduler(wan).withFlowShift(8).config.flowShift).toBe(8);
    expect(createScheduler(euler).withFlowShift(8).schedule(4)).toEqual(
      createScheduler({ ...euler, shift: 8 }).schedule(4),
    );
  });

  test("reads no keys that the other class left in the file", () => {
    expect(createScheduler({ ...euler, flow_shift: "anything", solver_order: 99 }).config.flowShift).toBe(5);
  });

  test("takes a terminal level of 0 for none, as diffusers does", () => {
    expect(createScheduler({ ...wan, shift_terminal: 0 }).config.shiftTerminal).toBeNull();
  });

  test("names every problem with key, value and what is supported", () => {
    const error = refusal(
      { ...wan, prediction_type: "epsilon", solver_order: 4, thresholding: true },
      { source: "scheduler_config.json" },
    );
    expect(error.code).toBe("SCHEDULER_CONFIG_INVALID");
    expect(error.source).toBe("scheduler_config.json");
    expect(error.problems).toEqual([
      { key: "prediction_type", value: "epsilon", supported: '"flow_prediction"' },
      { key: "solver_order", value: 4, supported: "a whole number from 1 to 3" },
      { key: "thresholding", value: true, supported: "false" },
    ]);
    expect(error.message).toContain('prediction_type is "epsilon"; supported: "flow_prediction"');
  });

  test.each([
    ["an unknown class", { ...wan, _class_name: "DDIMScheduler" }, "_class_name"],
    ["an absent class", { flow_shift: 3 }, "_class_name"],
    ["an absent prediction type", { ...wan, prediction_type: undefined }, "prediction_type"],
    ["an unknown key", { ...wan, flow_shfit: 3 }, "flow_shfit"],
    ["a shift of 0", { ...wan, flow_shift: 0 }, "flow_shift"],
    ["a shift that isn't a number", { ...wan, flow_shift: "3" }, "flow_shift"],
    ["noise prediction in place of the sample's", { ...wan, predict_x0: false }, "predict_x0"],
    ["another solver as predictor", { ...wan, solver_p: {} }, "solver_p"],
    ["a corrector list that isn't of steps", { ...wan, disable_corrector: [-1] }, "disable_corrector"],
    ["Karras levels", { ...wan, use_karras_sigmas: true }, "use_karras_sigmas"],
    ["dynamic shifting", { ...euler, use_dynamic_shifting: true }, "use_dynamic_shifting"],
    ["stochastic sampling", { ...euler, stochastic_sampling: true }, "stochastic_sampling"],
    ["a terminal level of 1", { ...euler, shift_terminal: 1 }, "shift_terminal"],
    ["no training timesteps", { ...euler, num_train_timesteps: 0 }, "num_train_timesteps"],
  ])("refuses %s", (_, json, key) => {
    expect(refusal(json).problems.map((problem) => problem.key)).toEqual([key]);
  });

  test.each([[null], [[]], ["unipc"]])("refuses %p in place of an object", (json) => {
    expect(refusal(json).problems).toHaveLength(1);
  });

  test("refuses a given shift out of bounds, naming it", () => {
    expect(refusal(wan, { flowShift: -1 }).problems[0]).toMatchObject({ key: "flow_shift", value: -1 });
    expect(() => createScheduler(euler).withFlowShift(Number.NaN)).toThrow(SchedulerConfigError);
  });

  test("fromConfig refuses the other class", () => {
    expect(() => UniPcScheduler.fromConfig(euler)).toThrow(SchedulerConfigError);
    expect(() => FlowMatchEulerScheduler.fromConfig(wan)).toThrow(SchedulerConfigError);
    expect(UniPcScheduler.fromConfig(wan).config.flowShift).toBe(3);
    expect(FlowMatchEulerScheduler.fromConfig(euler).config.flowShift).toBe(5);
  });

  test("freezes its config", () => {
    expect(Object.isFrozen(createScheduler(wan).config)).toBe(true);
  });
});
