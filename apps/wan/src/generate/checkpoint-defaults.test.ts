import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { InputError } from "../input-error.ts";
import { readCheckpointDefaults } from "./checkpoint-defaults.ts";
import { embeddedModel } from "./embedded-model.ts";

let model: string;
beforeEach(() => {
  model = mkdtempSync(join(tmpdir(), "wan-defaults-"));
});
afterEach(() => rmSync(model, { recursive: true }));

async function refusal(defaults: string): Promise<string> {
  await Bun.write(join(model, "defaults.json"), defaults);
  const error = await readCheckpointDefaults(model).catch((caught: unknown) => caught);
  expect(error).toBeInstanceOf(InputError);
  return (error as InputError).message;
}

describe("readCheckpointDefaults", () => {
  test("is empty where a checkpoint has none", async () => {
    expect(await readCheckpointDefaults(model)).toEqual({});
  });

  test("has the embedded checkpoint's sample", async () => {
    const defaults = await readCheckpointDefaults(embeddedModel);
    expect(defaults).toMatchObject({ height: 96, width: 96, frames: 17, steps: 12, guidanceScale: 4 });
    expect(defaults.image).toBe(join(embeddedModel, "sample.png"));
  });

  test("names the file where it isn't JSON or says what it may not", async () => {
    const file = join(model, "defaults.json");
    expect(await refusal("{")).toStartWith(`${file} is not JSON`);
    expect(await refusal('{ "output": { "file": "/tmp/x" } }')).toContain(`"output" in ${file}`);
    expect(await refusal('{ "stpes": 3 }')).toContain('did you mean "steps"?');
  });

  test("keeps the image inside the checkpoint's folder", async () => {
    expect(await refusal('{ "image": "../secret.png" }')).toContain('"image"');
    expect(await refusal('{ "image": "/etc/hostname" }')).toContain('"image"');
    symlinkSync("/etc/hostname", join(model, "link.png"));
    expect(await refusal('{ "image": "link.png" }')).toContain('"image"');
  });
});
