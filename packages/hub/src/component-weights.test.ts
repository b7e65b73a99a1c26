import { describe, expect, test } from "bun:test";
import { findWeights, noWeights } from "./component-weights.ts";
import { openRoot } from "./file-system.ts";
import { rejection, safetensors, TemporaryDirectory } from "./model-fixture.ts";

const weights = safetensors({ weight: { dtype: "F32", shape: [2], bytes: 8 } });
const index = { metadata: { total_size: 16 }, weight_map: { a: "s-1.safetensors", b: "s-2.safetensors" } };

async function withFiles(files: Record<string, string | Uint8Array | object>) {
  const temporary = await TemporaryDirectory.create();
  await temporary.folder("part");
  for (const [name, content] of Object.entries(files)) await temporary.write(`part/${name}`, content);
  return {
    temporary,
    root: await openRoot(temporary.path),
    [Symbol.asyncDispose]: () => temporary[Symbol.asyncDispose](),
  };
}

describe("findWeights", () => {
  test("finds the single file that each library writes", async () => {
    await using files = await withFiles({
      "model.safetensors": weights,
      "diffusion_pytorch_model.safetensors": weights,
    });
    const found = async (library: string) =>
      (await findWeights(files.root, "part", library, undefined))?.files;
    expect(await found("transformers")).toEqual([files.temporary.join("part/model.safetensors")]);
    expect(await found("diffusers")).toEqual([
      files.temporary.join("part/diffusion_pytorch_model.safetensors"),
    ]);
    expect(await rejection(found("wan"))).toMatchObject({
      code: "modelIndex",
      problems: [{ subject: "part", expected: "a part of diffusers or transformers", found: "wan" }],
    });
  });

  test("finds shards by their index, once each", async () => {
    await using files = await withFiles({
      "model.safetensors.index.json": { ...index, weight_map: { ...index.weight_map, c: "s-1.safetensors" } },
      "s-1.safetensors": weights,
      "s-2.safetensors": weights,
    });
    const [first, second] = [1, 2].map((shard) => files.temporary.join(`part/s-${shard}.safetensors`));
    expect(await findWeights(files.root, "part", "transformers", undefined)).toEqual({
      folder: files.temporary.join("part"),
      variant: undefined,
      files: [first, second] as string[],
      index: {
        file: files.temporary.join("part/model.safetensors.index.json"),
        shardOf: new Map([
          ["a", first],
          ["b", second],
          ["c", first],
        ] as [string, string][]),
        totalBytes: 16,
      },
    });
  });

  test("takes an index or a single file first as each library does", async () => {
    for (const [library, stem] of [
      ["diffusers", "diffusion_pytorch_model"],
      ["transformers", "model"],
    ] as const) {
      await using files = await withFiles({
        [`${stem}.safetensors`]: weights,
        [`${stem}.safetensors.index.json`]: index,
        "s-1.safetensors": weights,
        "s-2.safetensors": weights,
      });
      const found = await findWeights(files.root, "part", library, undefined);
      expect(found?.files.length).toBe(library === "diffusers" ? 2 : 1);
    }
  });

  test("finds the shards of a variant", async () => {
    await using files = await withFiles({
      "diffusion_pytorch_model.safetensors.index.fp16.json": index,
      "s-1.safetensors": weights,
      "s-2.safetensors": weights,
    });
    expect((await findWeights(files.root, "part", "diffusers", "fp16"))?.files).toHaveLength(2);
    expect(await findWeights(files.root, "part", "diffusers", undefined)).toBeUndefined();
  });

  test("names every missing shard", async () => {
    await using files = await withFiles({ "model.safetensors.index.json": index });
    expect(await rejection(findWeights(files.root, "part", "transformers", undefined))).toMatchObject({
      code: "missingFile",
      path: files.temporary.join("part"),
      problems: [{ subject: "s-1.safetensors" }, { subject: "s-2.safetensors" }],
    });
  });

  test.each([
    "../other.safetensors",
    "/etc/passwd",
    "folder/shard.safetensors",
    "folder\\shard.safetensors",
    "..",
    ".hidden.safetensors",
    "pytorch_model-00001-of-00002.bin",
    "shard.safetensors\0",
    "",
  ])("refuses the shard name %p", async (name) => {
    await using files = await withFiles({
      "model.safetensors.index.json": { weight_map: { a: name } },
      "../other.safetensors": weights,
      "folder/shard.safetensors": weights,
    });
    expect(await rejection(findWeights(files.root, "part", "transformers", undefined))).toMatchObject({
      code: "shardIndex",
      problems: [{ subject: "weight_map", found: JSON.stringify(name) }],
    });
  });

  test("refuses a shard that is a link out of the model", async () => {
    await using files = await withFiles({ "s-2.safetensors": weights });
    await using outside = await TemporaryDirectory.create();
    await outside.write("secret.safetensors", weights);
    await files.temporary.link("part/s-1.safetensors", outside.join("secret.safetensors"));
    await files.temporary.write("part/model.safetensors.index.json", index);
    expect(await rejection(findWeights(files.root, "part", "transformers", undefined))).toMatchObject({
      code: "outsideModel",
    });
  });

  test.each([
    [{}, "weight_map"],
    [{ weight_map: {} }, "weight_map"],
    [{ weight_map: { a: 1 } }, "weight_map.a"],
    [{ weight_map: { a: "s.safetensors" }, metadata: { total_size: -1 } }, "metadata.total_size"],
    [{ weight_map: { a: "s.safetensors" }, metadata: { total_size: "16" } }, "metadata.total_size"],
    [[], ""],
  ])("refuses the index %p", async (json, subject) => {
    await using files = await withFiles({ "model.safetensors.index.json": json });
    expect(await rejection(findWeights(files.root, "part", "transformers", undefined))).toMatchObject({
      code: "shardIndex",
      problems: [{ subject }],
    });
  });

  test("takes an index without metadata", async () => {
    await using files = await withFiles({
      "model.safetensors.index.json": { weight_map: { a: "s-1.safetensors" } },
      "s-1.safetensors": weights,
    });
    const found = await findWeights(files.root, "part", "transformers", undefined);
    expect(found?.index?.totalBytes).toBeUndefined();
  });
});

describe("noWeights", () => {
  test("names pickles, other variants, or that there is nothing", async () => {
    const expected = "model.safetensors or model.safetensors.index.json";
    await using files = await withFiles({});
    const error = () => noWeights(files.root, "part", "transformers", undefined);
    expect(await error()).toMatchObject({
      code: "missingWeights",
      problems: [{ expected, found: "no weights" }],
    });
    await files.temporary.write("part/pytorch_model.bin", "");
    await files.temporary.write("part/old.ckpt", "");
    expect(await error()).toMatchObject({
      code: "pickle",
      problems: [
        { expected, found: "only old.ckpt, pytorch_model.bin: pickles, which run code when loaded" },
      ],
    });
    await files.temporary.write("part/model.fp16.safetensors", weights);
    expect(await error()).toMatchObject({
      code: "missingWeights",
      problems: [{ expected, found: "model.fp16.safetensors" }],
    });
    expect((await noWeights(files.root, "part", "diffusers", "bf16")).problems[0]?.expected).toBe(
      "diffusion_pytorch_model.bf16.safetensors or diffusion_pytorch_model.safetensors.index.bf16.json",
    );
  });
});
