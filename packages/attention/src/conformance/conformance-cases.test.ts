import { describe, expect, test } from "bun:test";
import type { AttentionBackend } from "../backend.ts";
import { conformanceCases, runConformance, selectCases, supportTable } from "./index.ts";

describe("conformanceCases", () => {
  test("each name picks its case alone", () => {
    for (const { name } of conformanceCases()) {
      expect(selectCases({ filter: name }).map((one) => one.name)).toEqual([name]);
    }
  });

  test("every family tries every dtype, and head sizes go from 8 to 256 and above", () => {
    const cases = conformanceCases();
    for (const family of new Set(cases.map((one) => one.family))) {
      const dtypes = new Set(cases.filter((one) => one.family === family).map((one) => one.request.dtype));
      expect(dtypes).toEqual(new Set(["float32", "bfloat16", "float16"]));
    }
    const sizes = cases.map((one) => one.request.headDim);
    expect(sizes).toContain(8);
    expect(sizes).toContain(256);
    expect(sizes).toContain(384);
  });

  test("a filter that fits nothing runs nothing", async () => {
    const refusing: AttentionBackend = {
      specificationVersion: 1,
      name: "refusing",
      refusals: () => [{ property: "headDim", found: "8", supported: "none" }],
      attend: () => {
        throw new Error("it was tried");
      },
    };
    expect(await runConformance(refusing, { filter: "no such case" })).toMatchObject({ results: [] });
    const report = await runConformance(refusing, { filter: "lengths(" });
    expect(report).toMatchObject({ backend: "refusing", passed: 0, failed: 0, unsupported: 36 });
    expect(report.results[0]).toMatchObject({ outcome: "unsupported", reason: "headDim 8 (has none)" });
    expect(supportTable([report])).toBe(
      [
        "| cases | dtype | refusing |",
        "| --- | --- | --- |",
        "| lengths | float32 | unsupported |",
        "| lengths | bfloat16 | unsupported |",
        "| lengths | float16 | unsupported |",
        "",
      ].join("\n"),
    );
  });
});
