import { expect, test } from "bun:test";
import { flags } from "../flags.ts";
import { configJsonSchema, configSchema } from "./schema.ts";

test("the committed JSON schema is that of the code (bun scripts/config-schema.ts writes it)", async () => {
  const committed: unknown = await Bun.file(new URL("../../wan.config.schema.json", import.meta.url)).json();
  expect(committed).toEqual(configJsonSchema());
});

test("each flag has a key, and each key a flag", () => {
  const keys = Object.entries(configSchema.shape).flatMap(([key, schema]) => {
    const inner = "unwrap" in schema ? schema.unwrap() : schema;
    return "shape" in inner ? Object.keys(inner.shape).map((nested) => `${key}.${nested}`) : [key];
  });
  const set = new Set(flags.map((flag) => flag.path.join(".")));
  expect(keys.toSorted()).toEqual([...set].toSorted());
});

test("flags of one key set it to different values", () => {
  const said = flags.map(({ path, sets }) => `${path.join(".")} ${sets ?? ""}`);
  expect(new Set(said).size).toBe(flags.length);
});
