import type { Device } from "@wan-ts/tensor";
import type { AttentionBackend } from "../backend.ts";
import { type ConformanceCase, declaredUnsupported } from "./conformance-case.ts";
import { conformanceCases } from "./conformance-cases.ts";

/** How one case ended. */
export type CaseResult = { readonly case: ConformanceCase } & (
  | { readonly outcome: "passed" }
  /** The backend declares that it doesn't do this; `reason` is its own. */
  | { readonly outcome: "unsupported"; readonly reason: string }
  /** A {@link ConformanceFailure}, or what the backend threw. */
  | { readonly outcome: "failed"; readonly error: unknown }
);

/** What a backend did in every case that was run. */
export interface ConformanceReport {
  readonly backend: string;
  readonly results: readonly CaseResult[];
  readonly passed: number;
  readonly unsupported: number;
  readonly failed: number;
}

/** Which cases {@link runConformance} runs. */
export interface ConformanceOptions {
  /** A part of the names of cases; a whole name picks one. By default all cases. */
  readonly filter?: string;
  /** Where the tensors are that the backend gets; by default the processor. */
  readonly device?: Device;
}

/** The cases whose names contain the filter. */
export function selectCases({ filter = "" }: ConformanceOptions = {}): ConformanceCase[] {
  return conformanceCases().filter((one) => one.name.includes(filter));
}

/**
 * Runs the suite against a backend, case by case. Whatever a case throws is in the report; nothing is
 * thrown.
 */
export async function runConformance(
  backend: AttentionBackend,
  options: ConformanceOptions = {},
): Promise<ConformanceReport> {
  const results: CaseResult[] = [];
  for (const one of selectCases(options)) results.push(await runCase(one, backend, options.device));
  const count = (outcome: CaseResult["outcome"]): number =>
    results.filter((result) => result.outcome === outcome).length;
  return {
    backend: backend.name,
    results,
    passed: count("passed"),
    unsupported: count("unsupported"),
    failed: count("failed"),
  };
}

async function runCase(
  one: ConformanceCase,
  backend: AttentionBackend,
  device: Device | undefined,
): Promise<CaseResult> {
  const reason = declaredUnsupported(one, backend, device);
  if (reason !== undefined) return { case: one, outcome: "unsupported", reason };
  try {
    await one.run(backend, device);
    return { case: one, outcome: "passed" };
  } catch (error) {
    return { case: one, outcome: "failed", error };
  }
}
