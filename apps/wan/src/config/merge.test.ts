import { expect, test } from "bun:test";
import { mergeConfigs } from "./merge.ts";

test("flags win over the file, key by key within groups", () => {
  const merged = mergeConfigs(
    { prompt: "file", steps: 4, output: { file: "a.mp4", quiet: true }, attention: { backend: "native" } },
    { prompt: "flag", output: { file: "b.mp4" } },
  );
  expect(merged).toEqual({
    prompt: "flag",
    steps: 4,
    output: { file: "b.mp4", quiet: true },
    attention: { backend: "native" },
    parallel: {},
  });
});

test("a key that is undefined leaves what is under it", () => {
  const over = { steps: undefined, output: { file: undefined } };
  expect(mergeConfigs({ steps: 4, output: { file: "a.mp4" } }, over)).toMatchObject({
    steps: 4,
    output: { file: "a.mp4" },
  });
});
