import { describe, expect, test } from "bun:test";
import type { StateProblem, TensorSource } from "@wan-ts/nn";
import { Tensor } from "@wan-ts/tensor";
import { type StoredQuantization, storedQuantizationSchema } from "./stored-config.ts";
import { storedQuantization } from "./weight-quantization.ts";

const nf4Config = { quant_method: "bitsandbytes", load_in_4bit: true, bnb_4bit_quant_type: "nf4" };
const nf4: StoredQuantization = { kind: "nf4", doubleQuantization: false, computeDtype: undefined };
const int8: StoredQuantization = { kind: "int8", computeDtype: undefined };

describe("quantization_config", () => {
  test("of 4-bit weights, as diffusers writes it", () => {
    const config = {
      ...nf4Config,
      _load_in_4bit: true,
      bnb_4bit_compute_dtype: "bfloat16",
      bnb_4bit_use_double_quant: true,
      llm_int8_skip_modules: null,
      load_in_8bit: false,
    };
    expect(storedQuantizationSchema.parse(config)).toEqual({
      kind: "nf4",
      doubleQuantization: true,
      computeDtype: "bfloat16",
    });
  });

  test("of 8-bit weights", () => {
    const config = { quant_method: "bitsandbytes", load_in_8bit: true, llm_int8_threshold: 6 };
    expect(storedQuantizationSchema.parse(config)).toEqual({ kind: "int8", computeDtype: undefined });
  });

  test.each([
    ["quant_method", { ...nf4Config, quant_method: "torchao" }, '"bitsandbytes": no other method'],
    [
      "bnb_4bit_quant_type",
      { ...nf4Config, bnb_4bit_quant_type: "fp4" },
      '"nf4": weights in other 4-bit types',
    ],
    ["bnb_4bit_quant_type", { quant_method: "bitsandbytes", load_in_4bit: true }, '"nf4": weights in other'],
    ["bnb_4bit_quant_storage", { ...nf4Config, bnb_4bit_quant_storage: "bfloat16" }, '"uint8"'],
    [
      "bnb_4bit_compute_dtype",
      { ...nf4Config, bnb_4bit_compute_dtype: "int8" },
      "float32, bfloat16, float16",
    ],
    ["load_in_4bit", { quant_method: "bitsandbytes" }, "true, as load_in_8bit is false"],
    ["load_in_4bit", { ...nf4Config, load_in_8bit: true }, "false, as load_in_8bit is true"],
    ["llm_int8_has_fp16_weight", { ...nf4Config, llm_int8_has_fp16_weight: true }, "false"],
  ])("refuses %s of %j", (key, config, allowed) => {
    const issues = storedQuantizationSchema.safeParse(config).error?.issues ?? [];
    expect(issues.map(({ path }) => path)).toEqual([[key]]);
    expect(issues[0]?.message).toStartWith(allowed);
  });
});

interface Stored {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly bytes?: Uint8Array;
}

function source(tensors: Readonly<Record<string, Stored | undefined>>): TensorSource {
  const present = new Map(
    Object.entries(tensors).flatMap(([name, tensor]) => (tensor ? [[name, tensor]] : [])),
  );
  return {
    description: "weights",
    names: () => present.keys(),
    entry: (name) => present.get(name),
    bytes: (name) => present.get(name)?.bytes ?? new Uint8Array(),
    tensor: (name) => Tensor.zeros(present.get(name)?.shape ?? [], "uint8"),
  };
}

function described(state: unknown): Stored {
  const bytes = new TextEncoder().encode(typeof state === "string" ? state : JSON.stringify(state));
  return { dtype: "uint8", shape: [bytes.length], bytes };
}

const state = { quant_type: "nf4", blocksize: 64, dtype: "bfloat16", shape: [4, 96] };
const nested = { nested_blocksize: 256, nested_dtype: "float32", nested_offset: 0.1 };
const description = "w.quant_state.bitsandbytes__nf4";
const stored: Readonly<Record<string, Stored>> = {
  w: { dtype: "uint8", shape: [192, 1] },
  "w.absmax": { dtype: "float32", shape: [6] },
  "w.quant_map": { dtype: "float32", shape: [16] },
  [description]: described(state),
};
const storedNested: Readonly<Record<string, Stored>> = {
  ...stored,
  "w.absmax": { dtype: "uint8", shape: [6] },
  "w.nested_absmax": { dtype: "float32", shape: [1] },
  "w.nested_quant_map": { dtype: "float32", shape: [256] },
  [description]: described({ ...state, ...nested }),
};

function problemsOf(
  kind: StoredQuantization,
  tensors: Readonly<Record<string, Stored | undefined>>,
  name = "w",
): readonly StateProblem[] | undefined {
  return storedQuantization(kind).stored(name, [4, 96], source(tensors))?.problems;
}

describe("stored 4-bit weights", () => {
  test("are taken whole, with every tensor that belongs to them", () => {
    expect(problemsOf(nf4, stored)).toEqual([]);
    expect(problemsOf(nf4, storedNested)).toEqual([]);
    const found = storedQuantization(nf4).stored("w", [4, 96], source(storedNested));
    expect(found?.names.toSorted()).toEqual(Object.keys(storedNested).toSorted());
  });

  test("are left to plain loading where nothing describes them", () => {
    expect(problemsOf(nf4, { w: { dtype: "bfloat16", shape: [4, 96] } })).toBeUndefined();
  });

  test.each<[string, Readonly<Record<string, Stored | undefined>>, object]>([
    ["w.absmax", { ...stored, "w.absmax": undefined }, { kind: "missing", expected: [6] }],
    ["w.absmax", { ...stored, "w.absmax": { dtype: "float32", shape: [5] } }, { kind: "shape", found: [5] }],
    [
      "w.absmax",
      { ...stored, "w.absmax": { dtype: "float16", shape: [6] } },
      { kind: "dtype", found: "float16" },
    ],
    ["w", { ...stored, w: { dtype: "uint8", shape: [96, 1] } }, { kind: "shape", expected: [192] }],
    [
      "w.nested_absmax",
      { ...storedNested, "w.nested_absmax": { dtype: "float32", shape: [2] } },
      { kind: "shape" },
    ],
    ["w.nested_quant_map", { ...storedNested, "w.nested_quant_map": undefined }, { kind: "missing" }],
    [
      description,
      { ...storedNested, [description]: described(state) },
      { kind: "value", found: "one without" },
    ],
    [description, { ...stored, [description]: described("{") }, { kind: "value", expected: "JSON" }],
    [description, { ...stored, [description]: described({ ...state, blocksize: 48 }) }, { kind: "value" }],
    [
      description,
      { ...stored, [description]: described({ ...state, shape: [96, 4] }) },
      { kind: "value", expected: "a description of shape [4,96]" },
    ],
    [
      "w.quant_state.bitsandbytes__fp4",
      {
        ...stored,
        [description]: undefined,
        "w.quant_state.bitsandbytes__fp4": described({ ...state, quant_type: "fp4" }),
      },
      { kind: "value" },
    ],
  ])("are refused for %s", (name, tensors, problem) => {
    expect(problemsOf(nf4, tensors)).toEqual([expect.objectContaining({ name, ...problem })]);
  });
});

describe("stored 8-bit weights", () => {
  const whole: Readonly<Record<string, Stored>> = {
    "layer.weight": { dtype: "int8", shape: [4, 96] },
    "layer.SCB": { dtype: "float32", shape: [4] },
    "layer.weight_format": { dtype: "uint8", shape: [], bytes: new Uint8Array([0]) },
  };
  const { "layer.weight_format": _, ...withoutFormat } = whole;

  test("are taken with their scales, and are plain without", () => {
    expect(problemsOf(int8, whole, "layer.weight")).toEqual([]);
    expect(problemsOf(int8, withoutFormat, "layer.weight")).toEqual([]);
    const plain = { "layer.weight": { dtype: "float16", shape: [4, 96] } };
    expect(problemsOf(int8, plain, "layer.weight")).toBeUndefined();
  });

  test.each<[string, Readonly<Record<string, Stored | undefined>>, object]>([
    ["layer.SCB", { ...whole, "layer.SCB": undefined }, { kind: "missing", expected: [4] }],
    ["layer.SCB", { ...whole, "layer.SCB": { dtype: "float32", shape: [96] } }, { kind: "shape" }],
    ["layer.SCB", { ...whole, "layer.SCB": { dtype: "float16", shape: [4] } }, { kind: "dtype" }],
    ["layer.weight", { ...whole, "layer.weight": { dtype: "int8", shape: [96, 4] } }, { kind: "shape" }],
    ["layer.weight", { ...whole, "layer.weight": { dtype: "uint8", shape: [4, 96] } }, { kind: "dtype" }],
    [
      "layer.weight_format",
      { ...whole, "layer.weight_format": { dtype: "uint8", shape: [], bytes: new Uint8Array([2]) } },
      { kind: "value", found: "2" },
    ],
  ])("are refused for %s", (name, tensors, problem) => {
    expect(problemsOf(int8, tensors, "layer.weight")).toEqual([
      expect.objectContaining({ name, ...problem }),
    ]);
  });
});
