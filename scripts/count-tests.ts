/** How many tests ended in which way. */
export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** No tests. */
export const none: Counts = { passed: 0, failed: 0, skipped: 0 };

/** Two counts together. */
export function addCounts(a: Counts, b: Counts): Counts {
  return { passed: a.passed + b.passed, failed: a.failed + b.failed, skipped: a.skipped + b.skipped };
}

/** Counts of a JUnit report of `bun test`; undefined where it is cut short or no such report. */
export function countJunit(report: string): Counts | undefined {
  const suites = /<testsuites [^>]*>/.exec(report)?.[0];
  if (suites === undefined || !report.trimEnd().endsWith("</testsuites>")) return undefined;
  const attribute = (name: string): number =>
    Number(new RegExp(`\\s${name}="(\\d+)"`).exec(suites)?.[1] ?? 0);
  const failed = attribute("failures") + attribute("errors");
  const skipped = attribute("skipped");
  return { passed: attribute("tests") - failed - skipped, failed, skipped };
}

/** Counts of the closing lines of `cargo test`, one for each test binary and crate's documentation. */
export function countCargo(output: string): Counts {
  let counts = none;
  for (const [, passed, failed, skipped] of output.matchAll(
    /^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored/gm,
  )) {
    counts = addCounts(counts, { passed: Number(passed), failed: Number(failed), skipped: Number(skipped) });
  }
  return counts;
}

/** The tests that failed in a JUnit report of `bun test`: file, line, name and what was said of each. */
export function failuresOfJunit(report: string): string[] {
  return [...report.matchAll(/<testcase ([^>]*[^/])>\s*<(?:failure|error)([^>]*)>/g)].map(
    ([, test = "", failure = ""]) => {
      const attribute = (attributes: string, name: string): string =>
        unescapeXml(new RegExp(`(?:^|\\s)${name}="([^"]*)"`).exec(attributes)?.[1] ?? "");
      const place = `${attribute(test, "file")}:${attribute(test, "line")}`;
      return `${place}: ${attribute(test, "name")}: ${attribute(failure, "message").replaceAll(/\s+/g, " ").trim()}`;
    },
  );
}

/** The tests that failed by the lines of `cargo test`. */
export function failuresOfCargo(output: string): string[] {
  return [...output.matchAll(/^test (.+) \.\.\. FAILED$/gm)].map(([, name = ""]) => name);
}

function unescapeXml(text: string): string {
  const characters: Record<string, string> = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" };
  return text.replaceAll(
    /&(?:#(\d+)|(\w+));/g,
    (whole, code: string | undefined, name: string | undefined) =>
      code === undefined ? (characters[name ?? ""] ?? whole) : String.fromCodePoint(Number(code)),
  );
}
