import { describe, expect, test } from "bun:test";
import {
  addCounts,
  countCargo,
  countJunit,
  failuresOfCargo,
  failuresOfJunit,
  none,
} from "../../scripts/count-tests.ts";

const report = (attributes: string): string =>
  `<?xml version="1.0" encoding="UTF-8"?>\n<testsuites name="bun test" ${attributes} time="0.01">\n` +
  `  <testsuite name="a.test.ts" tests="90" failures="90" skipped="90">\n  </testsuite>\n</testsuites>\n`;

describe("countJunit", () => {
  test("reads the whole report's counts, not those of a suite", () => {
    expect(countJunit(report('tests="7" assertions="20" failures="2" skipped="1"'))).toEqual({
      passed: 4,
      failed: 2,
      skipped: 1,
    });
    expect(countJunit(report('tests="3" assertions="3" failures="0" errors="1" skipped="0"'))).toEqual({
      passed: 2,
      failed: 1,
      skipped: 0,
    });
  });

  test("takes no report that was cut short", () => {
    const whole = report('tests="7" failures="0" skipped="0"');
    expect(countJunit(whole.slice(0, -16))).toBeUndefined();
    expect(countJunit("")).toBeUndefined();
  });
});

test("countCargo adds the lines of all binaries", () => {
  const output = `running 2 tests
test a ... ok
test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
     Running unittests
test result: FAILED. 3 passed; 1 failed; 4 ignored; 0 measured; 0 filtered out; finished in 1.00s
`;
  expect(countCargo(output)).toEqual({ passed: 5, failed: 1, skipped: 4 });
  expect(countCargo("error: could not compile `weights`")).toEqual(none);
});

test("addCounts adds each count", () => {
  const counts = { passed: 1, failed: 2, skipped: 3 };
  expect(addCounts(counts, counts)).toEqual({ passed: 2, failed: 4, skipped: 6 });
});

test("failuresOfJunit tells where each failed test is and what it said", () => {
  const failed = `<testcase name="c &lt; d" classname="a" time="0.1" file="x.test.ts" line="2" assertions="1">
        <failure type="AssertionError" message="expected 2&#10;received 1&#10;">at x</failure></testcase>
      <testcase name="ok" classname="a" time="0.1" file="x.test.ts" line="3" assertions="0" />`;
  expect(failuresOfJunit(failed)).toEqual(["x.test.ts:2: c < d: expected 2 received 1"]);
  expect(failuresOfJunit("")).toEqual([]);
});

test("failuresOfCargo names each failed test", () => {
  expect(failuresOfCargo("test a::b ... ok\ntest a::c ... FAILED\n")).toEqual(["a::c"]);
});
