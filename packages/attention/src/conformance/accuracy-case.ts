import type { Device } from "@wan-ts/tensor";
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
    needs: undefined,
    run: (backend, device) => expectNoLeak(name, () => compare(name, setup, backend, device)),
  };
}

async function compare(
  name: string,
  setup: AttentionSetup,
  backend: AttentionBackend,
  device: Device | undefined,
): Promise<void> {
  const inputs = buildInputs(name, setup, device);
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
    result?.logSumExpResidue?.dispose();
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
    const residue = await result.logSumExpResidue?.floats();
    if (!residue) return;
    expectResidue(name, found, residue);
    if (setup.spread === 0) {
      // Scores that are equal and exact have an exact sum: what is left is the logarithm's own rounding.
      const whole = Float64Array.from(found, (rounded, row) => rounded + (residue[row] as number));
      expectClose(name, "logSumExp + logSumExpResidue", whole, exact.logSumExp, (value) => 1e-9 * value);
    }
  }
}

/** A residue is what rounding leaves: with it the log-sum-exp rounds to what it is without. */
function expectResidue(name: string, logSumExp: Float32Array, residue: Float32Array): void {
  for (const [index, rounded] of logSumExp.entries()) {
    const rest = residue[index] as number;
    const right = Number.isFinite(rounded) ? Math.fround(rounded + rest) === rounded : rest === 0;
    if (right) continue;
    throw new ConformanceFailure(name, {
      what: `element ${index} of logSumExpResidue`,
      expected: Number.isFinite(rounded)
        ? `within half a step of ${rounded}, which it was rounded to`
        : `0 beside ${rounded}`,
      found: `${rest}`,
    });
  }
}

function readBases({ bases }: BuiltInputs): Promise<Uint8Array[]> {
  return Promise.all(bases.map((base) => base.rawBytes()));
}

/** Compares with what is exact: NaN and infinities must be where they belong, the rest within tolerance. */
function expectClose(
  name: string,
  what: string,
  found: ArrayLike<number>,
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
