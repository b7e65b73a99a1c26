export { type ConformanceCase, declaredUnsupported } from "./conformance-case.ts";
export { conformanceCases } from "./conformance-cases.ts";
export { ConformanceFailure } from "./conformance-failure.ts";
export {
  type CaseResult,
  type ConformanceOptions,
  type ConformanceReport,
  runConformance,
  selectCases,
} from "./run-conformance.ts";
export { supportTable } from "./support-table.ts";
