import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { InputError } from "../input-error.ts";
import { readConfig } from "./read.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "wan-config-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const write = (name: string, text: string): Promise<number> => Bun.write(join(folder, name), text);

async function refusal(file: string): Promise<string> {
  const error = await readConfig(file, folder).catch((caught: unknown) => caught);
  expect(error).toBeInstanceOf(InputError);
  return (error as InputError).message;
}

describe("readConfig", () => {
  test("is empty where there is no config", async () => {
    expect(await readConfig(undefined, folder)).toEqual({});
  });

  test("finds wan.config.json, and takes paths from its folder", async () => {
    await write(
      "wan.config.json",
      '{ "$schema": "x.json", "image": "a.png", "model": "Wan-AI/some", "output": { "file": "b.mp4" } }',
    );
    expect(await readConfig(undefined, folder)).toMatchObject({
      image: join(folder, "a.png"),
      model: "Wan-AI/some",
      output: { file: join(folder, "b.mp4") },
    });
  });

  test("takes a model beside the config as a directory", async () => {
    await write("model/model_index.json", "{}");
    await write("wan.config.json", '{ "model": "model" }');
    expect((await readConfig(undefined, folder)).model).toBe(join(folder, "model"));
  });

  test("prefers wan.config.ts, and imports its default", async () => {
    await write("wan.config.json", '{ "steps": 1 }');
    await write("wan.config.ts", "const steps: number = 1 + 2;\nexport default { steps };\n");
    expect((await readConfig(undefined, folder)).steps).toBe(3);
  });

  test("names a file that is missing or a directory", async () => {
    expect(await refusal("no.json")).toBe("--config: there is no file no.json");
    await write("directory/file", "");
    expect(await refusal("directory")).toBe("--config: there is no file directory");
  });

  test("names a file that is not a config", async () => {
    await write("broken.json", "{");
    expect(await refusal("broken.json")).toStartWith("--config: broken.json is not JSON: ");
    await write("config.yaml", "steps: 1");
    expect(await refusal("config.yaml")).toBe("--config: config.yaml must end in .json, .ts or .js");
    await write("throws.ts", 'throw new Error("no such luck");');
    expect(await refusal("throws.ts")).toBe("--config: throws.ts can't be loaded: no such luck");
    await write("nothing.ts", "export const steps = 1;");
    expect(await refusal("nothing.ts")).toBe("--config: nothing.ts must export the config as its default");
    await write("huge.json", " ".repeat((1 << 20) + 1));
    expect(await refusal("huge.json")).toContain("1048577 bytes");
  });

  test("names the file with an unknown key", async () => {
    await write("a.json", '{ "stpes": 1 }');
    expect(await refusal("a.json")).toBe('"stpes" in a.json is not a config key; did you mean "steps"?');
  });
});
