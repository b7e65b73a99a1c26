import { describe, expect, test } from "bun:test";
import { checkingInput, InputError } from "./input-error.ts";
import { reportFailure } from "./report-failure.ts";

function report(error: unknown): { status: number; text: string } {
  let text = "";
  const status = reportFailure(error, { write: (part) => (text += part) });
  return { status, text };
}

describe("reportFailure", () => {
  test("is 2 for bad input and 1 for anything else", () => {
    expect(report(new InputError("--steps must be at least 1"))).toEqual({
      status: 2,
      text: "error: --steps must be at least 1\n",
    });
    expect(report(new Error("the disk is full"))).toEqual({ status: 1, text: "error: the disk is full\n" });
    expect(report("thrown text")).toEqual({ status: 1, text: "error: thrown text\n" });
  });

  test("is one line without control characters, however long the message", () => {
    const { text } = report(new Error(`a\n  b\r\nc\u001b[31m${"x".repeat(10_000)}`));
    expect(text).toStartWith("error: a b c\uFFFD[31mxxx");
    expect(text.trimEnd()).not.toMatch(/\p{Cc}/u);
    expect(text.length).toBeLessThan(4100);
    expect(report(new Error("")).text).toBe("error: unknown failure\n");
  });
});

describe("checkingInput", () => {
  const caught = (error: unknown): Promise<unknown> =>
    checkingInput(() => Promise.reject(error)).catch((thrown: unknown) => thrown);

  test("hands on what comes out", async () => {
    expect(await checkingInput(() => 3)).toBe(3);
  });

  test("makes bad input of errors with a code, keeping the cause", async () => {
    const error = Object.assign(new Error("no such file"), { code: "ENOENT" });
    const refused = await caught(error);
    expect(refused).toBeInstanceOf(InputError);
    expect(refused).toMatchObject({ message: "no such file", cause: error });
  });

  test("leaves mistakes, memory and cancelling as they are", async () => {
    for (const error of [
      new TypeError("undefined is not a function"),
      Object.assign(new Error("no memory"), { code: "outOfMemory" }),
      Object.assign(new Error("stopped"), { code: "cancelled" }),
      new InputError("already"),
      "text",
    ]) {
      expect(await caught(error)).toBe(error);
    }
  });
});
