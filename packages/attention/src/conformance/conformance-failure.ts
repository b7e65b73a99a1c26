/** A backend that broke its contract in one case. */
export class ConformanceFailure extends Error {
  override readonly name = "ConformanceFailure";
  readonly code = "attentionConformance";
  /** The case; it is also the filter that runs it alone. */
  readonly caseName: string;
  /** What the contract asks, and what the backend did. */
  readonly expected: string;
  readonly found: string;

  constructor(caseName: string, facts: { what: string; expected: string; found: string }, cause?: unknown) {
    super(`${caseName}: ${facts.what} must be ${facts.expected}, but is ${facts.found}`, { cause });
    this.caseName = caseName;
    this.expected = facts.expected;
    this.found = facts.found;
  }
}
