import { describe, expect, test } from "bun:test";
import { HubError } from "./errors.ts";
import { openModelDirectory } from "./model-directory.ts";
import { rejection, TemporaryDirectory, writeModel } from "./model-fixture.ts";
import { cacheDirectory, resolveModel } from "./resolve-model.ts";

const id = "Wan-AI/Wan2.1-T2V-1.3B-Diffusers";
const repository = "hub/models--Wan-AI--Wan2.1-T2V-1.3B-Diffusers";
const commit = "0fad780a534b6463e45facd96134c9f345acfa5b";

describe("resolveModel", () => {
  test("takes an existing directory as it is named", async () => {
    await using temporary = await TemporaryDirectory.create();
    const options = { environment: { HF_HOME: temporary.path } };
    expect(await resolveModel(temporary.path, options)).toEqual({
      directory: temporary.path,
      hub: undefined,
    });
  });

  test("finds an id in the cache, at main, a tag or a commit", async () => {
    await using temporary = await TemporaryDirectory.create();
    await writeModel(temporary, `${repository}/snapshots/${commit}`);
    await temporary.write(`${repository}/refs/main`, commit);
    await temporary.write(`${repository}/refs/refs/pr/1`, `${commit}\n`);
    const environment = { HF_HOME: temporary.path };
    const directory = temporary.join(`${repository}/snapshots/${commit}`);
    for (const revision of [undefined, "refs/pr/1", commit]) {
      const resolved = await resolveModel(id, { environment, revision });
      expect(resolved).toEqual({ directory, hub: { id, commit } });
      expect((await openModelDirectory(resolved.directory)).index.className).toBe("WanImageToVideoPipeline");
    }
  });

  test("tells how to get what isn't in the cache", async () => {
    await using temporary = await TemporaryDirectory.create();
    const environment = { HF_HOME: temporary.path };
    const missing = await rejection(resolveModel(id, { environment }));
    expect(missing).toMatchObject({ code: "notInCache", path: id });
    expect(String(missing)).toEndWith(`Get it with: huggingface-cli download ${id}`);
    expect(String(missing)).toContain(temporary.join("hub"));
    const pinned = await rejection(resolveModel(id, { environment, revision: commit }));
    expect(String(pinned)).toEndWith(`huggingface-cli download ${id} --revision ${commit}`);
    // The reference came before the download was interrupted.
    await temporary.write(`${repository}/refs/main`, commit);
    expect(await rejection(resolveModel(id, { environment }))).toMatchObject({ code: "notInCache" });
  });

  test("refuses a reference that isn't a commit", async () => {
    await using temporary = await TemporaryDirectory.create();
    const options = { environment: { HF_HOME: temporary.path } };
    await temporary.write(`${repository}/refs/main`, "../../../../etc");
    expect(await rejection(resolveModel(id, options))).toMatchObject({ code: "unreadable" });
    await temporary.write(`${repository}/refs/main`, "0".repeat(2000));
    expect(await rejection(resolveModel(id, options))).toMatchObject({ code: "fileTooLarge" });
  });

  test.each([
    ["", "invalidModelId"],
    ["a\0b", "invalidModelId"],
    ["gpt2", "invalidModelId"],
    ["a/b/c", "invalidModelId"],
    ["a/..", "invalidModelId"],
    ["a/b--c", "invalidModelId"],
    ["a/b..c", "invalidModelId"],
    ["a/-b", "invalidModelId"],
    ["a/b-", "invalidModelId"],
    ["a/b.git", "invalidModelId"],
    ["a b/c", "invalidModelId"],
    [`a/${"b".repeat(96)}`, "invalidModelId"],
    ["../../no-such-model", "notFound"],
    ["./no-such-model", "notFound"],
    ["/no-such-model", "notFound"],
    ["~/no-such-model", "notFound"],
    ["no/such-model/", "notFound"],
    ["no\\such-model", "notFound"],
  ])("refuses %p", async (name, code) => {
    await using temporary = await TemporaryDirectory.create();
    const error = await rejection(resolveModel(name, { environment: { HF_HOME: temporary.path } }));
    expect(error).toMatchObject({ code, path: name });
    expect(HubError.isInstance(error)).toBe(true);
  });

  test("refuses a file in place of a directory", async () => {
    await using temporary = await TemporaryDirectory.create();
    const file = await temporary.write("model.safetensors", "");
    expect(await rejection(resolveModel(file))).toMatchObject({ code: "notADirectory" });
  });

  test.each(["../main", "", "a//b", "..", "a/../../b", "-x"])("refuses the revision %p", async (revision) => {
    await using temporary = await TemporaryDirectory.create();
    const environment = { HF_HOME: temporary.path };
    expect(await rejection(resolveModel(id, { environment, revision }))).toMatchObject({
      code: "invalidRevision",
    });
  });
});

describe("cacheDirectory", () => {
  test.each([
    [{ HF_HUB_CACHE: "/c", HF_HOME: "/h" }, "/c"],
    [{ HUGGINGFACE_HUB_CACHE: "/c", HF_HOME: "/h" }, "/c"],
    [{ HF_HOME: "/h", XDG_CACHE_HOME: "/x" }, "/h/hub"],
    [{ XDG_CACHE_HOME: "/x", HOME: "/u" }, "/x/huggingface/hub"],
    [{ HOME: "/u" }, "/u/.cache/huggingface/hub"],
    [{ HOME: "/u", HF_HOME: "" }, "/u/.cache/huggingface/hub"],
  ])("of %p is %p", (environment, directory) => {
    expect(cacheDirectory(environment)).toBe(directory);
  });
});
