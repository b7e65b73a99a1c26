import { expect, test } from "bun:test";
import type { OutputErrorCode } from "./errors.ts";
import { outputError } from "./output-system-error.ts";

test.each<[string, OutputErrorCode, string]>([
  ["ENOSPC", "diskFull", "the disk is full"],
  ["EDQUOT", "diskFull", "the disk quota is used up"],
  ["EACCES", "notWritable", "writing there is not allowed"],
  ["EROFS", "notWritable", "its file system is read-only"],
  ["EISDIR", "isDirectory", "there is a directory of that name"],
  ["ENOENT", "missingFolder", "its folder is gone"],
  ["EIO", "writeFailed", "input/output error"],
])("%s becomes %s", (systemCode, code, problem) => {
  const cause = Object.assign(new Error("input/output error"), { code: systemCode });
  const error = outputError(cause, "out.mp4");
  expect(error).toMatchObject({ code, path: "out.mp4", cause });
  expect(error.message).toStartWith(`cannot write out.mp4: ${problem}; `);
  expect(outputError(error, "elsewhere")).toBe(error);
});
