import type { AttentionBackend, AttentionResult } from "../backend.ts";
import { type AttentionSetup, nameOf, requestOf } from "./attention-setup.ts";
import { readValues } from "./attention-values.ts";
import { type BuiltInputs, buildInputs, disposeInputs } from "./build-inputs.ts";
import type { ConformanceCase } from "./conformance-case.ts";
import { ConformanceFailure } from "./conformance-failure.ts";
import { exactAttention } from "./exact-attention.ts";
import { expectNoLeak } from "./expect-no-leak.ts";
import { expectResultForm } from "./expect-result-form.ts";
import { toleranceOf } from "./tolerance.ts";

/** A case that compares one attention with float64. */
export function accuracyCase(family: string, setup: AttentionSetup): ConformanceCase {
  const name = nameOf(family, setup);
  return {
    family,
    name,
    request: requestOf(setup),
    needsRowInvariance: false,
    run: (backend) => expectNoLeak(name, () => compare(name, setup, backend)),
  };
}

async function compare(name: string, setup: AttentionSetup, backend: AttentionBackend): Promise<void> {
  const inputs = buildInputs(name, setup);
  let result: AttentionResult | undefined;
  try {
    const before = await readBases(inputs);
    result = backend.attend(inputs.call);
    expectResultForm(name, inputs.call, result);
    await expectAccuracy(name, setup, inputs, result);
    for (const [index, bytes] of (await readBases(inputs)).entries()) {
      if (Buffer.compare(bytes, before[index] as Uint8Array) !== 0) {
        throw new ConformanceFailure(name, {
          what: "an input",
          expected: "left as it was",
          found: "written to",
        });
      }
    }
  } finally {
    result?.output.dispose();
    result?.logSumExp?.dispose();
    disposeInputs(inputs);
  }
}

async function expectAccuracy(
  name: string,
  setup: AttentionSetup,
  { call }: BuiltInputs,
  result: AttentionResult,
): Promise<void> {
  const values = await readValues(call);
  const exact = exactAttention(values);
  const tolerance = toleranceOf(values, exact, setup.dtype);
  expectClose(name, "output", await result.output.floats(), exact.output, tolerance.output);
  if (result.logSumExp) {
    const found = await result.logSumExp.floats();
    expectClose(name, "logSumExp", found, exact.logSumExp, tolerance.logSumExp);
  }
}

function readBases({ bases }: BuiltInputs): Promise<Uint8Array[]> {
  return Promise.all(bases.map((base) => base.rawBytes()));
}

/** Compares with what is exact: NaN and infinities must be where they belong, the rest within tolerance. */
function expectClose(
  name: string,
  what: string,
  found: Float32Array,
  exact: Float64Array,
  allowed: (exact: number) => number,
): void {
  for (const [index, wanted] of exact.entries()) {
    const got = found[index] as number;
    const right = Number.isFinite(wanted)
      ? Math.abs(got - wanted) <= allowed(wanted)
      : Object.is(got, wanted);
    if (right) continue;
    const within = Number.isFinite(wanted) ? ` within ${allowed(wanted).toExponential(2)}` : "";
    throw new ConformanceFailure(name, {
      what: `element ${index} of ${what}`,
      expected: `${wanted}${within}`,
      found: `${got}`,
    });
  }
}
