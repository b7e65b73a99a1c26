import { describe, test } from "bun:test";
import type { AttentionBackend } from "../backend.ts";
import { declaredUnsupported } from "./conformance-case.ts";
import { type ConformanceOptions, selectCases } from "./run-conformance.ts";

/**
 * Enters the suite into `bun test`: a test for each case, named as the case is. Cases that the backend
 * declares unsupported are counted as skipped, with its reason.
 */
export function describeConformance(backend: AttentionBackend, options: ConformanceOptions = {}): void {
  const { device = "cpu" } = options;
  const where = device === "cpu" ? "" : ` on ${device}`;
  describe(`conformance of ${backend.name}${where}`, () => {
    for (const one of selectCases(options)) {
      const reason = declaredUnsupported(one, backend, device);
      if (reason === undefined) test(one.name, () => one.run(backend, device));
      else test.skip(`${one.name}: unsupported, ${reason}`, () => {});
    }
  });
}
