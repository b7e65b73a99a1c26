import { describe, test } from "bun:test";
import { rmSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { DamagedModel, type StoredTensor, safetensorsHead } from "./damaged-model.ts";
import { expectFailure, shortRun, TemporaryFolder } from "./run-app.ts";

const transformer = "transformer/diffusion_pytorch_model.safetensors";
const weight = "blocks.0.attn1.to_k.weight";

/** Damages a copy of the embedded checkpoint, and expects the app to say `told` of it. */
async function expectRefusal(
  damage: (model: DamagedModel) => void,
  told: readonly (string | RegExp)[],
  status: 1 | 2 = 2,
): Promise<void> {
  using model = new DamagedModel();
  damage(model);
  await expectFailure(status, ["--model", model.path, ...shortRun], told);
}

describe.concurrent("a model that isn't one", () => {
  test("a directory that isn't there", () => expectFailure(2, ["--model", "./none"], ["none"]));
  test("a hub id that leads elsewhere", () => expectFailure(2, ["--model", "../../etc"], ["etc"]));
  test("a file", () => expectFailure(2, ["--model", import.meta.path], ["damaged-models.test.ts"]));
  test("an empty directory", async () => {
    using folder = new TemporaryFolder();
    await expectFailure(2, ["--model", folder.path], ["model_index.json"]);
  });
  test("another pipeline", () =>
    expectRefusal(
      (model) => model.editJson("model_index.json", (json) => (json._class_name = "FluxPipeline")),
      ["model_index.json", "FluxPipeline"],
    ));
  test("a part that is missing", () =>
    expectRefusal((model) => rmSync(model.file("vae"), { recursive: true }), ["vae"]));
  test("a config that is no JSON", () =>
    expectRefusal((model) => writeFileSync(model.file("vae/config.json"), "{"), ["vae/config.json"]));
  test("a config out of bounds", () =>
    expectRefusal(
      (model) => model.editJson("transformer/config.json", (json) => (json.num_layers = 1e9)),
      ["transformer/config.json", "num_layers", "1000000000"],
    ));
  test("defaults that reach for another file", () =>
    expectRefusal(
      (model) => model.editJson("defaults.json", (json) => (json.output = { file: "/tmp/a.mp4" })),
      ["defaults.json", "output"],
    ));
});

describe.concurrent("weights that are damaged", () => {
  test("truncated", () =>
    expectRefusal((model) => model.edit(transformer, (bytes) => bytes.subarray(0, -1000)), [transformer]));
  test("empty", () => expectRefusal((model) => model.edit(transformer, () => ""), [transformer]));
  test("a header longer than the file", () =>
    expectRefusal(
      (model) =>
        model.edit(transformer, (bytes) => {
          bytes.writeBigUInt64LE(1n << 62n);
          return bytes;
        }),
      [transformer],
    ));
  test("a header that is no JSON", () =>
    expectRefusal((model) => model.edit(transformer, () => safetensorsHead("{ nonsense")), [transformer]));
  test("offsets outside the file", () =>
    expectTensorRefusal((tensor) => (tensor.data_offsets = [2 ** 52, 2 ** 52 + 8]), [weight]));
  test("a shape whose product overflows", () =>
    expectTensorRefusal((tensor) => (tensor.shape = [2 ** 40, 2 ** 40]), [weight]));
  test("tensors that overlap", () =>
    expectTensorRefusal(
      (tensor) => {
        tensor.data_offsets = [0, tensor.data_offsets[1] - tensor.data_offsets[0]];
      },
      [transformer],
    ));
  test("a pickle under the name of weights", () =>
    expectRefusal(
      (model) =>
        model.edit(transformer, () => Buffer.from("\x80\x02}q\x00(X\x06\x00\x00\x00weightq\x01.", "latin1")),
      [transformer, "pickle"],
    ));
  test("a pickle alone", () =>
    expectRefusal(
      (model) => {
        unlinkSync(model.file(transformer));
        writeFileSync(model.file("transformer/diffusion_pytorch_model.bin"), "PK");
      },
      ["diffusion_pytorch_model.bin", "pickle"],
    ));
  test("none", () =>
    expectRefusal((model) => unlinkSync(model.file(transformer)), ["transformer", "safetensors"]));
  test("not finite", () =>
    expectRefusal(
      (model) =>
        model.editTensors(transformer, (header, data) => {
          data.writeUInt16LE(0x7fc0, header[weight]?.data_offsets[0]);
        }),
      [weight, "transformer", "NaN"],
      1,
    ));

  function expectTensorRefusal(
    damage: (tensor: StoredTensor) => void,
    told: readonly string[],
  ): Promise<void> {
    return expectRefusal(
      (model) => model.editTensors(transformer, (header) => damage(header[weight] as StoredTensor)),
      [transformer, ...told],
    );
  }
});

describe.concurrent("weights that don't fit", () => {
  test("a tensor of another dtype", () =>
    expectRefusal(
      (model) =>
        model.editTensors(transformer, (header) => {
          (header[weight] as StoredTensor).dtype = "I16";
        }),
      [weight, /I16|int16/],
    ));
  test("a tensor of another shape", () =>
    expectRefusal(
      (model) =>
        model.editTensors(transformer, (header) => {
          const tensor = header[weight] as StoredTensor;
          tensor.shape = [tensor.shape[0] as number, 1, tensor.shape[1] as number];
        }),
      [weight, "192"],
    ));
  test("a tensor that is missing, and one too many", () =>
    expectRefusal(
      (model) =>
        model.editTensors(transformer, (header) => {
          header["blocks.0.attn1.to_q.wait"] = header["blocks.0.attn1.to_q.weight"] as StoredTensor;
          delete header["blocks.0.attn1.to_q.weight"];
        }),
      ["blocks.0.attn1.to_q.weight", "missing", "blocks.0.attn1.to_q.wait", "unexpected"],
    ));
});

describe.concurrent("a way out of the model's folder", () => {
  test("by a link", () =>
    expectRefusal(
      (model) => {
        rmSync(model.file("vae/config.json"));
        symlinkSync("/etc/hostname", model.file("vae/config.json"));
      },
      ["vae/config.json", "inside the model"],
    ));
  test("by a shard of the index", () =>
    expectRefusal(
      (model) => {
        unlinkSync(model.file(transformer));
        writeFileSync(
          model.file(`${transformer}.index.json`),
          JSON.stringify({ metadata: {}, weight_map: { [weight]: "../../secret.safetensors" } }),
        );
      },
      ["diffusion_pytorch_model.safetensors.index.json", "../../secret.safetensors"],
    ));
});
