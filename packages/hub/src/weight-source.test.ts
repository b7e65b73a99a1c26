import { describe, expect, test } from "bun:test";
import { memory, synchronizeBlocking, Tensor } from "@wan-ts/tensor";
import { type ComponentWeights, findWeights } from "./component-weights.ts";
import { SafetensorsError } from "./errors.ts";
import { openRoot } from "./file-system.ts";
import { type FixtureTensor, rejection, safetensors, TemporaryDirectory } from "./model-fixture.ts";
import { readSafetensorsHeader } from "./safetensors/read-header.ts";
import { readWeightEntries } from "./weight-entries.ts";
import { saveTensors } from "./weight-file.ts";
import { openWeights } from "./weight-source.ts";

const float = (...shape: number[]): FixtureTensor => ({
  dtype: "F32",
  shape,
  bytes: 4 * shape.reduce((product, extent) => product * extent, 1),
});

interface Sharded {
  readonly shards: readonly Readonly<Record<string, FixtureTensor>>[];
  readonly weightMap: Readonly<Record<string, number>>;
  readonly totalSize?: number;
}

async function sharded({ shards, weightMap, totalSize }: Sharded) {
  const temporary = await TemporaryDirectory.create();
  for (const [at, tensors] of shards.entries()) {
    await temporary.write(`part/s-${at}.safetensors`, safetensors(tensors));
  }
  await temporary.write("part/model.safetensors.index.json", {
    metadata: { total_size: totalSize },
    weight_map: Object.fromEntries(
      Object.entries(weightMap).map(([name, shard]) => [name, `s-${shard}.safetensors`]),
    ),
  });
  const weights = await findWeights(await openRoot(temporary.path), "part", "transformers", undefined);
  if (!weights) throw new Error("no weights");
  return { temporary, weights, [Symbol.asyncDispose]: () => temporary[Symbol.asyncDispose]() };
}

const twoShards: Sharded = {
  shards: [{ a: float(2, 3) }, { b: float(4), c: { dtype: "F64", shape: [1], bytes: 8 } }],
  weightMap: { a: 0, b: 1, c: 1 },
  totalSize: 48,
};

/** Both ways to list a part's tensors: they refuse alike. */
const listings = [
  ["readWeightEntries", readWeightEntries],
  ["openWeights", async (weights: ComponentWeights) => openWeights(weights)],
] as const;

describe.each(listings)("%s", (_, list) => {
  test("joins the tensors of all shards", async () => {
    await using files = await sharded(twoShards);
    const listing = await list(files.weights);
    expect(listing.description).toBe(files.temporary.join("part"));
    expect([...listing.names()].toSorted()).toEqual(["a", "b", "c"]);
    expect(listing.entry("a")).toEqual({
      dtype: "float32",
      shape: [2, 3],
      bytes: 24,
      file: files.temporary.join("part/s-0.safetensors"),
    });
    expect(listing.entry("c")).toMatchObject({ dtype: "F64", shape: [1] });
    expect(listing.entry("d")).toBeUndefined();
  });

  test("refuses a tensor that two shards have", async () => {
    await using files = await sharded({
      shards: [{ a: float(1) }, { a: float(1), b: float(1) }],
      weightMap: { a: 0, b: 1 },
    });
    expect(await rejection(list(files.weights))).toMatchObject({
      code: "duplicateTensor",
      problems: [{ subject: "a" }],
    });
  });

  test("refuses an index that the shards contradict, telling all at once", async () => {
    await using files = await sharded({
      shards: [{ a: float(1) }, { b: float(1), unlisted: float(1) }],
      weightMap: { a: 1, b: 1, absent: 0 },
      totalSize: 100,
    });
    expect(await rejection(list(files.weights))).toMatchObject({
      code: "shardIndex",
      problems: [
        { subject: "a", found: `it in ${files.temporary.join("part/s-0.safetensors")}` },
        { subject: "absent", found: "none" },
        { subject: "unlisted", expected: "in weight_map" },
        { subject: "metadata.total_size", expected: "12, as the shards have", found: "100" },
      ],
    });
  });

  test("refuses a shard that isn't right, by its own name", async () => {
    await using files = await sharded(twoShards);
    const file = await files.temporary.write("part/s-1.safetensors", safetensors('{"a":1}'));
    const error = await rejection(list(files.weights));
    expect(SafetensorsError.isInstance(error)).toBe(true);
    expect(error).toMatchObject({ code: "header", file, tensor: "a" });
  });
});

describe("openWeights", () => {
  test("reads tensors in place, which stay good after it is closed", async () => {
    await using temporary = await TemporaryDirectory.create();
    using saved = Tensor.from([1, 2, 3, 4], [2, 2]);
    const file = temporary.join("model.safetensors");
    await saveTensors(file, { weight: saved }, { format: "pt" });
    const weights = { folder: temporary.path, variant: undefined, files: [file], index: undefined };
    const source = await openWeights(weights);
    const tensor = source.tensor("weight");
    expect(Buffer.from(source.bytes("weight")).equals(Buffer.from(await tensor.rawBytes()))).toBe(true);
    expect(() => source.tensor("bias")).toThrow("bias: expected a tensor of this name, found none");
    source.close();
    source.close();
    expect(() => source.tensor("weight")).toThrow("weight: expected open weights, found closed ones");
    expect(tensor.shape).toEqual([2, 2]);
    expect(await tensor.data()).toEqual(new Float32Array([1, 2, 3, 4]));
    tensor.dispose();
    const header = await readSafetensorsHeader(file);
    expect(header.metadata.get("format")).toBe("pt");
    expect(header.tensors.get("weight")).toMatchObject({ dtype: "F32", shape: [2, 2], bytes: 16 });
  });

  test("refuses a tensor of a dtype that tensors don't have, when it is asked for", async () => {
    await using files = await sharded(twoShards);
    using source = await openWeights(files.weights);
    source.tensor("b").dispose();
    expect(() => source.tensor("c")).toThrow(
      `${files.temporary.join("part/s-1.safetensors")}: tensor "c": expected a dtype of ` +
        "F32, F16, BF16, I32, I64, I8, U8, found F64",
    );
  });

  test("closes what it opened when a later file is refused", async () => {
    const closed: string[] = [];
    const opener = {
      async open(path: string) {
        if (path === "second") throw new Error("refused");
        const tensor = (): never => {
          throw new Error("no tensor is read here");
        };
        return { entries: () => [], tensor, bytes: tensor, close: () => closed.push(path) };
      },
    };
    const weights = { folder: "", variant: undefined, files: ["first", "second"], index: undefined };
    expect(String(await rejection(openWeights(weights, opener)))).toBe("Error: refused");
    expect(closed).toEqual(["first"]);
  });

  test("leaves no storage behind", async () => {
    await using files = await sharded(twoShards);
    synchronizeBlocking();
    const before = memory().liveStorages;
    {
      using source = await openWeights(files.weights);
      using tensor = source.tensor("a");
      expect(tensor.count).toBe(6);
    }
    expect(memory().liveStorages).toBe(before);
  });
});

describe("saveTensors", () => {
  test("keeps dtypes, and refuses what can't be written as a SafetensorsError", async () => {
    await using temporary = await TemporaryDirectory.create();
    using half = Tensor.from(new Float32Array([1, -2]), [2], "bfloat16");
    using count = Tensor.from(new Uint8Array([7]), [1]);
    await saveTensors(temporary.join("a.safetensors"), { half, count });
    const { tensors } = await readSafetensorsHeader(temporary.join("a.safetensors"));
    expect(tensors.get("half")).toMatchObject({ dtype: "BF16", shape: [2], bytes: 4 });
    expect(tensors.get("count")).toMatchObject({ dtype: "U8", shape: [1], bytes: 1 });
    expect(await rejection(saveTensors(temporary.join("b"), { __metadata__: count }))).toMatchObject({
      code: "reservedName",
      tensor: "__metadata__",
    });
    expect(await rejection(saveTensors(temporary.join("no/folder"), { count }))).toMatchObject({
      code: "io",
    });
  });
});
