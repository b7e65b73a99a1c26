import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import type { HubError } from "./errors.ts";
import { openModelDirectory } from "./model-directory.ts";
import { modelIndex, rejection, safetensors, TemporaryDirectory, writeModel } from "./model-fixture.ts";

const weights = safetensors({ weight: { dtype: "F32", shape: [2], bytes: 8 } });

describe("openModelDirectory", () => {
  test("finds parts in the order a pipeline uses them, with their configs and files", async () => {
    await using temporary = await TemporaryDirectory.create();
    await writeModel(temporary, "model");
    const model = await openModelDirectory(temporary.join("model"));
    expect([...model.components.keys()]).toEqual([
      "tokenizer",
      "textEncoder",
      "imageProcessor",
      "imageEncoder",
      "transformer",
      "vae",
      "scheduler",
    ]);
    expect(await model.component("scheduler").config()).toEqual({
      file: temporary.join("model/scheduler/scheduler_config.json"),
      json: { flow_shift: 3 },
    });
    expect(await model.component("tokenizer").file("tokenizer.json")).toBe(
      temporary.join("model/tokenizer/tokenizer.json"),
    );
    expect((await model.component("imageProcessor").config()).file).toEndWith("preprocessor_config.json");
  });

  test("refuses paths that hold no model", async () => {
    await using temporary = await TemporaryDirectory.create();
    const code = async (path: string) => (await rejection(openModelDirectory(path))) as HubError;
    expect(await code(temporary.join("absent"))).toMatchObject({ code: "notFound" });
    expect(await code(await temporary.write("file", ""))).toMatchObject({ code: "notADirectory" });
    expect(await code(temporary.path)).toMatchObject({
      code: "missingFile",
      path: temporary.join("model_index.json"),
    });
    await temporary.write("model_index.json", "{");
    expect(await code(temporary.path)).toMatchObject({ code: "invalidJson" });
    await temporary.write("model_index.json", " ".repeat(1024 * 1024 + 1));
    expect(await code(temporary.path)).toMatchObject({ code: "fileTooLarge" });
    await temporary.write("model_index.json", []);
    expect(await code(temporary.path)).toMatchObject({ code: "modelIndex" });
  });

  test("names every missing folder", async () => {
    await using temporary = await TemporaryDirectory.create();
    await temporary.write("model_index.json", { ...modelIndex, vae: [null, null] });
    for (const folder of ["image_encoder", "tokenizer", "scheduler"]) await temporary.folder(folder);
    await temporary.write("image_processor", "a file");
    const error = await rejection(openModelDirectory(temporary.path));
    expect(error).toMatchObject({ code: "missingComponent", path: temporary.path });
    expect((error as HubError).problems.map(({ subject }) => subject).toSorted()).toEqual([
      "image_processor",
      "text_encoder",
      "transformer",
    ]);
  });

  test("refuses a part that the model hasn't, and files that a part hasn't", async () => {
    await using temporary = await TemporaryDirectory.create();
    await writeModel(temporary, "model");
    const model = await openModelDirectory(temporary.join("model"));
    expect(() => model.component("transformer2")).toThrow(
      "transformer_2: expected [library, class], found none in this WanImageToVideoPipeline",
    );
    const vae = model.component("vae");
    expect(await rejection(vae.file("absent.json"))).toMatchObject({ code: "missingFile" });
    await temporary.folder("model/vae/folder.json");
    expect(await rejection(vae.file("folder.json"))).toMatchObject({ code: "missingFile" });
    expect(await rejection(vae.file("../../outside"))).toMatchObject({ code: "missingFile" });
    await temporary.write("outside", "");
    expect(await rejection(vae.file("../../outside"))).toMatchObject({ code: "outsideModel" });
  });

  test("refuses a config beyond 1 MiB or that isn't JSON", async () => {
    await using temporary = await TemporaryDirectory.create();
    await writeModel(temporary, "model");
    await temporary.write("model/vae/config.json", `{"a":"${"x".repeat(1024 * 1024)}"}`);
    await temporary.write("model/transformer/config.json", "{'a': 1}");
    const model = await openModelDirectory(temporary.join("model"));
    expect(await rejection(model.component("vae").config())).toMatchObject({
      code: "fileTooLarge",
      path: temporary.join("model/vae/config.json"),
    });
    expect(await rejection(model.component("transformer").config())).toMatchObject({ code: "invalidJson" });
  });
});

describe("links", () => {
  test("may lead to other files of the model, and nowhere else", async () => {
    await using temporary = await TemporaryDirectory.create();
    await writeModel(temporary, "model");
    await temporary.write("elsewhere/config.json", {});
    await temporary.link("model/vae/inside.json", "../transformer/config.json");
    await temporary.link("model/vae/outside.json", "../../elsewhere/config.json");
    await temporary.link("model/vae/folder", "../../elsewhere");
    await temporary.link("model/vae/broken.json", "nothing.json");
    const vae = (await openModelDirectory(temporary.join("model"))).component("vae");
    expect(await vae.file("inside.json")).toBe(join(vae.folder, "inside.json"));
    expect(await rejection(vae.file("outside.json"))).toMatchObject({ code: "outsideModel" });
    expect(await rejection(vae.file("folder/config.json"))).toMatchObject({ code: "outsideModel" });
    expect(await rejection(vae.file("broken.json"))).toMatchObject({
      code: "missingFile",
      problems: [{ expected: "a link to a file", found: "a link to nothing" }],
    });
  });

  test("refuse a folder of a part that lies outside", async () => {
    await using temporary = await TemporaryDirectory.create();
    await temporary.write("model/model_index.json", { _class_name: "WanPipeline", vae: modelIndex.vae });
    await temporary.folder("vae");
    await temporary.link("model/vae", "../vae");
    expect(await rejection(openModelDirectory(temporary.join("model")))).toMatchObject({
      code: "outsideModel",
    });
  });

  test("of a snapshot may lead to the blobs of its own repository", async () => {
    await using temporary = await TemporaryDirectory.create();
    const snapshot = "hub/models--Wan-AI--tiny/snapshots/abc";
    await writeModel(temporary, snapshot);
    await temporary.write("hub/models--Wan-AI--tiny/blobs/sha", weights);
    await temporary.write("hub/models--Wan-AI--other/blobs/sha", weights);
    await temporary.link(`${snapshot}/vae/diffusion_pytorch_model.safetensors`, "../../../blobs/sha");
    await temporary.link(`${snapshot}/vae/other.safetensors`, "../../../../models--Wan-AI--other/blobs/sha");
    const vae = (await openModelDirectory(temporary.join(snapshot))).component("vae");
    expect((await vae.weights()).files).toEqual([
      temporary.join(`${snapshot}/vae/diffusion_pytorch_model.safetensors`),
    ]);
    expect(await rejection(vae.file("other.safetensors"))).toMatchObject({ code: "outsideModel" });
  });

  test("of a directory that isn't a snapshot may not lead to blobs beside it", async () => {
    await using temporary = await TemporaryDirectory.create();
    await writeModel(temporary, "plain/snapshots/abc");
    await temporary.write("plain/blobs/sha", weights);
    await temporary.link("plain/snapshots/abc/vae/a.safetensors", "../../../blobs/sha");
    const vae = (await openModelDirectory(temporary.join("plain/snapshots/abc"))).component("vae");
    expect(await rejection(vae.file("a.safetensors"))).toMatchObject({ code: "outsideModel" });
  });
});

describe("variants", () => {
  test("are preferred where a part has them, and refused where none has", async () => {
    await using temporary = await TemporaryDirectory.create();
    await writeModel(temporary, "model");
    await temporary.write("model/vae/diffusion_pytorch_model.safetensors", weights);
    await temporary.write("model/transformer/diffusion_pytorch_model.safetensors", weights);
    await temporary.write("model/transformer/diffusion_pytorch_model.fp16.safetensors", weights);
    const path = temporary.join("model");
    const model = await openModelDirectory(path, { variant: "fp16" });
    expect(await model.component("transformer").weights()).toMatchObject({
      variant: "fp16",
      files: [join(path, "transformer/diffusion_pytorch_model.fp16.safetensors")],
    });
    expect(await model.component("vae").weights()).toMatchObject({ variant: undefined });
    const plain = await openModelDirectory(path);
    expect((await plain.component("transformer").weights()).variant).toBeUndefined();
    expect(await rejection(openModelDirectory(path, { variant: "bf16" }))).toMatchObject({
      code: "missingVariant",
    });
    expect(await rejection(openModelDirectory(path, { variant: "../x" }))).toMatchObject({
      code: "invalidVariant",
    });
  });
});
