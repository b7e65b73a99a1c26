import { describe, expect, test } from "bun:test";
import { type AttentionBackend, AttentionDispatcher, AttentionRegistry } from "@wan-ts/attention";
import { plannedRanks } from "@wan-ts/distributed";
import { type ContextParallelPlan, Module } from "@wan-ts/nn";
import type { Tensor } from "@wan-ts/tensor";
import { ContextParallelConfig } from "./config.ts";
import { ContextParallelizer } from "./context-parallelizer.ts";
import { ContextParallelError } from "./errors.ts";
import { requireRowInvariance } from "./require-attention.ts";

/** A backend that is never called. */
const backend = (name: string, rowInvariant: boolean, givesLogSumExp: boolean): AttentionBackend => ({
  specificationVersion: 1,
  name,
  rowInvariant,
  refusals: ({ logSumExp }) =>
    logSumExp && !givesLogSumExp ? [{ property: "logSumExp", found: "true", supported: "false" }] : [],
  attend: () => {
    throw new Error("nothing is computed");
  },
});

const variant = backend("variant", false, true);
const fused = backend("fused", true, false);
const whole = backend("whole", true, true);
const request = { device: "cpu", dtype: "float32", headDim: 8, mask: false, logSumExp: false } as const;

const dispatcher = (backends: readonly AttentionBackend[], name?: string): AttentionDispatcher =>
  new AttentionDispatcher(new AttentionRegistry(backends), [request], name);

class Step extends Module<{ input: Tensor }, Tensor> {
  protected override forward({ input }: { input: Tensor }): Tensor {
    return input.share();
  }
}

class Model extends Module<{ input: Tensor }, Tensor> {
  readonly attend = this.child("attend", new Step());
  readonly last = this.child("last", new Step());

  protected override forward(input: { input: Tensor }): Tensor {
    return this.last.call({ input: this.attend.call(input) });
  }
}

const plan: ContextParallelPlan = [
  { kind: "split", module: "attend", tensor: { argument: "input" }, dim: 1, dims: 4 },
  { kind: "attention", module: "attend" },
  { kind: "gather", module: "last", dim: 1, dims: 4 },
];

function enable(attention: AttentionDispatcher, worldSize: number, options: object): Disposable {
  const parallelizer = new ContextParallelizer(plannedRanks({ rank: 0, worldSize }));
  const model = { root: new Model(), plan, attention, heads: 4 };
  return parallelizer.enable(model, new ContextParallelConfig(options));
}

function refusal(body: () => unknown): ContextParallelError {
  try {
    body();
  } catch (error) {
    if (ContextParallelError.isInstance(error)) return error;
    throw error;
  }
  throw new Error("nothing was refused");
}

describe("attention over ranks", () => {
  test("that shares out heads refuses a backend that isn't declared row-invariant", () => {
    const attention = dispatcher([variant, fused, whole], "variant");
    const error = refusal(() => enable(attention, 2, { ulyssesDegree: 2 }));
    expect(error.code).toBe("attention");
    expect(error.message).toBe(
      "attention backend variant must be rowInvariant where ranks share out heads (such as fused, whole), or " +
        "allowed by allowRowVariant, but is not declared so: pixels could depend on the number of ranks",
    );
    expect(attention.backend).toBe(variant);
    attention.use("fused");
    enable(attention, 2, { ulyssesDegree: 2 })[Symbol.dispose]();
  });

  test("takes it where that is allowed, and where nothing depends on it", () => {
    for (const [worldSize, options] of [
      [2, { ulyssesDegree: 2, allowRowVariant: true }],
      [2, { ringDegree: 2 }],
      [4, { ulyssesDegree: 2, ringDegree: 2 }],
      [2, { cfgParallel: true }],
      [1, {}],
    ] as const) {
      const attention = dispatcher([variant, whole], "variant");
      using parallelism = enable(attention, worldSize, options);
      expect(parallelism).toBeDefined();
      expect(attention.backend).toBe(variant);
    }
  });

  test("in a ring refuses a backend that gives no log-sum-exp", () => {
    for (const [worldSize, options] of [
      [2, { ringDegree: 2 }],
      [4, { ringDegree: 2, ulyssesDegree: 2 }],
    ] as const) {
      const error = refusal(() => enable(dispatcher([fused, whole], "fused"), worldSize, options));
      expect(error.code).toBe("attention");
      expect(error.message).toBe(
        "attention backend fused must be one that gives the log-sum-exp (such as whole), or ringDegree 1, but " +
          "is one that doesn't: a ring couldn't put its parts together",
      );
    }
    enable(dispatcher([fused, whole], "fused"), 2, { ulyssesDegree: 2 })[Symbol.dispose]();
  });

  test("chooses a backend that can, where none was asked for, until the model is whole again", () => {
    for (const options of [{ ringDegree: 2 }, { ulyssesDegree: 2 }]) {
      const first = "ringDegree" in options ? fused : variant;
      const attention = dispatcher([first, whole]);
      const parallelism = enable(attention, 2, options);
      expect(attention.backend).toBe(whole);
      parallelism[Symbol.dispose]();
      expect(attention.backend).toBe(first);
    }
    const error = refusal(() => enable(dispatcher([variant]), 2, { ulyssesDegree: 2 }));
    expect(error.message).toContain(
      "attention backend variant must be rowInvariant where ranks share out heads,",
    );
  });

  test("refuses to swap for a backend that can't while the model is split", () => {
    const attention = dispatcher([whole, variant, fused], "whole");
    {
      using _parallelism = enable(attention, 2, { ulyssesDegree: 2 });
      expect(() => attention.use("variant")).toThrow("rowInvariant true (supported: not declared)");
    }
    attention.use("variant");
    using _ring = enable(attention, 2, { ringDegree: 2 });
    expect(() => attention.use("fused")).toThrow("logSumExp true");
  });
});

test("requireRowInvariance names what is shared out", () => {
  const error = refusal(() => requireRowInvariance(dispatcher([variant], "variant"), "rows of the VAE"));
  expect(error.message).toContain("where ranks share out rows of the VAE");
});
