import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { concatenate, Tensor } from "@wan-ts/tensor";
import type { AttentionBackend, AttentionCall, AttentionResult } from "../backend.ts";
import { runConformance, supportTable } from "./index.ts";

const document = join(import.meta.dir, "../../../../docs/writing-a-backend.md");
// Below the package, so that the example finds what it imports as another package's code would.
const folder = join(import.meta.dir, `../../node_modules/.cache/example-backend-${process.pid}`);

let Example: new () => AttentionBackend;

beforeAll(async () => {
  const [, code] = /```ts example-backend\n(.*?)```/s.exec(await Bun.file(document).text()) ?? [];
  if (code === undefined) throw new Error(`${document} has no block "ts example-backend"`);
  await mkdir(folder, { recursive: true });
  await Bun.write(join(folder, "example-backend.ts"), code);
  const module = (await import(join(folder, "example-backend.ts"))) as {
    OnlineSoftmaxBackend: new () => AttentionBackend;
  };
  Example = module.OnlineSoftmaxBackend;
});

afterAll(() => rm(folder, { recursive: true, force: true }));

/** The example with another `attend`, which gets the right one. */
function broken(attend: (call: AttentionCall, right: AttentionBackend) => AttentionResult): AttentionBackend {
  const right = new Example();
  return {
    specificationVersion: 1,
    name: "broken",
    rowInvariant: true,
    refusals: (request) => right.refusals(request),
    attend: (call) => attend(call, right),
  };
}

describe("the example of the documentation", () => {
  test("is about 50 lines", async () => {
    const lines = (await Bun.file(join(folder, "example-backend.ts")).text()).trimEnd().split("\n");
    expect(lines.length).toBeLessThanOrEqual(56);
  });

  test("passes every case but those it refuses", async () => {
    const report = await runConformance(new Example());
    expect(report.results.filter((result) => result.outcome === "failed")).toEqual([]);
    const refused = report.results.filter((result) => result.outcome === "unsupported");
    expect(refused.every(({ case: { request, needs } }) => request.mask || needs === "keysInPieces")).toBe(
      true,
    );
    expect(report.passed + report.unsupported).toBe(report.results.length);
    expect(report.passed).toBeGreaterThan(100);
    expect(supportTable([report])).toContain("| masks | float16 | unsupported |");
  });
});

describe("the suite", () => {
  /** The names of what fails, or how often. */
  async function failures(backend: AttentionBackend, filter: string): Promise<readonly unknown[]> {
    const { results } = await runConformance(backend, { filter });
    return results.filter((result) => result.outcome === "failed").map((result) => result.error);
  }

  test.each([
    ["a scale off by a hundred-thousandth", "lengths(dtype=float32", 1 + 1e-5],
    ["a scale off by a hundredth, in 16 bits", "lengths(dtype=bfloat16", 1.01],
  ])("notices %s", async (_, filter, factor) => {
    const backend = broken((call, right) =>
      right.attend({ ...call, scale: (call.scale ?? 1 / Math.sqrt(call.query.size(-1))) * factor }),
    );
    expect((await failures(backend, filter)).length).toBeGreaterThan(4);
  });

  test("notices that a given scale is ignored", async () => {
    const backend = broken((call, right) => right.attend({ ...call, scale: undefined }));
    expect(await failures(backend, "scales(dtype=float32")).toHaveLength(4);
  });

  test("notices keys of another head", async () => {
    const backend = broken((call, right) => {
      using key = call.key.transpose(1, 2).reshape(call.key.shape);
      return right.attend({ ...call, key });
    });
    expect((await failures(backend, "strides(dtype=float32")).length).toBeGreaterThan(5);
  });

  test("notices a missing and an unasked log-sum-exp", async () => {
    const without = broken(({ returnLogSumExp, ...call }, right) => {
      return right.attend(returnLogSumExp ? call : { ...call, returnLogSumExp: true });
    });
    const [missing] = await failures(without, "logSumExp(dtype=float32");
    expect(missing).toMatchObject({ name: "ConformanceFailure", found: "absent" });
    const [unasked] = await failures(without, "lengths(dtype=float32");
    expect(unasked).toMatchObject({ expected: "absent, as no log-sum-exp is asked for" });
  });

  test.each([
    [
      "of the wrong size",
      (exact: number) => 0.5 * (exact - Math.fround(exact)),
      "logSumExp + logSumExpResidue",
    ],
    ["that is more than rounding took", () => 1, "within half a step"],
    ["that is no number", () => Number.NaN, "NaN"],
  ])("notices a residue %s", async (_, residueOf, told) => {
    const backend = broken((call, right) => {
      const result = right.attend(call);
      // That of the case whose scores are exact.
      const exact = 30.25 + Math.log(call.key.size(1));
      return result.logSumExp
        ? { ...result, logSumExpResidue: Tensor.full(result.logSumExp.shape, residueOf(exact)) }
        : result;
    });
    const found = await failures(
      backend,
      "logSumExp(dtype=float32, batch=2, queries=13, keys=41, heads=3, headDim=16",
    );
    expect(found).toHaveLength(1);
    expect(String(found[0])).toContain(told);
  });

  test("notices another dtype, a view, and a shape", async () => {
    const wide = broken((call, right) => {
      using output = right.attend(call).output;
      return { output: output.to("float32") };
    });
    expect((await failures(wide, "lengths(dtype=float16"))[0]).toMatchObject({
      code: "attentionConformance",
    });
    const view = broken((call, right) => {
      using output = right.attend(call).output;
      using other = output.transpose(1, 2).contiguous();
      return { output: other.transpose(1, 2) };
    });
    expect(String((await failures(view, "queries=31"))[0])).toContain("must be contiguous");
    const flat = broken((call, right) => {
      using output = right.attend(call).output;
      return { output: output.reshape([-1]) };
    });
    expect(await failures(flat, "lengths(dtype=float32")).toHaveLength(12);
  });

  test("notices a leak, and what a backend throws", async () => {
    const leaked: AttentionResult[] = [];
    const leaking = broken((call, right) => {
      leaked.push(right.attend(call));
      return right.attend(call);
    });
    const [leak] = await failures(
      leaking,
      "headSizes(dtype=float32, batch=1, queries=9, keys=37, heads=1, headDim=8)",
    );
    expect(String(leak)).toContain("1 storages that nobody disposed");
    for (const { output } of leaked) output.dispose();
    const throwing = broken(() => {
      throw new RangeError("no");
    });
    expect((await failures(throwing, "scales(dtype=float32"))[0]).toBeInstanceOf(RangeError);
  });

  test("notices rows that depend on their neighbours", async () => {
    const neighbourly = broken((call, right) =>
      right.attend({
        ...call,
        scale: (1 / Math.sqrt(call.query.size(-1))) * (1 + call.query.size(1) * 1e-7),
      }),
    );
    expect((await failures(neighbourly, "rowInvariance(dtype=float32")).length).toBeGreaterThan(3);
    const undeclared: AttentionBackend = { ...neighbourly, rowInvariant: false };
    const report = await runConformance(undeclared, { filter: "rowInvariance(" });
    expect(report).toMatchObject({ passed: 0, failed: 0, unsupported: report.results.length });
  });

  test("notices keys in pieces that are left out", async () => {
    const inPieces = (attend: Parameters<typeof broken>[0]): AttentionBackend => ({
      ...broken(attend),
      keysInPieces: true,
    });
    const joining = inPieces(({ following = [], ...call }, right) => {
      const [keys, values] = [[call.key.share()], [call.value.share()]];
      for (const { key, value } of following) {
        keys.push(key.share());
        values.push(value.share());
      }
      using key = concatenate(keys, 1);
      using value = concatenate(values, 1);
      for (const tensor of [...keys, ...values]) tensor.dispose();
      return right.attend({ ...call, key, value });
    });
    expect(await failures(joining, "keysInPieces(dtype=float32")).toEqual([]);
    const first = inPieces((call, right) => right.attend({ ...call, following: undefined }));
    expect((await failures(first, "keysInPieces(dtype=float32")).length).toBeGreaterThan(9);
  });
});
