import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

/** A tensor of a file that {@link safetensors} makes. */
export interface FixtureTensor {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly bytes: number;
}

/** The bytes of a safetensors file of zeros, or of `header` as it stands and `dataBytes` zeros. */
export function safetensors(
  header: string | Readonly<Record<string, FixtureTensor>>,
  dataBytes = 0,
): Uint8Array {
  let total = dataBytes;
  let json = "";
  if (typeof header === "string") {
    json = header;
  } else {
    const entries = Object.entries(header).map(([name, { dtype, shape, bytes }]) => {
      const begin = total;
      total += bytes;
      return [name, { dtype, shape, data_offsets: [begin, total] }] as const;
    });
    json = JSON.stringify(Object.fromEntries(entries));
    json = json.padEnd(Math.ceil(json.length / 8) * 8);
  }
  const encoded = new TextEncoder().encode(json);
  const file = new Uint8Array(8 + encoded.length + total);
  new DataView(file.buffer).setBigUint64(0, BigInt(encoded.length), true);
  file.set(encoded, 8);
  return file;
}

/** A directory for one test, removed with all that is in it. */
export class TemporaryDirectory implements AsyncDisposable {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  static async create(): Promise<TemporaryDirectory> {
    return new TemporaryDirectory(await mkdtemp(join(tmpdir(), "wan-ts-hub-")));
  }

  join(name: string): string {
    return join(this.path, name);
  }

  /** Writes a file, making its folders; objects are written as JSON. Returns its path. */
  async write(name: string, content: string | Uint8Array | object): Promise<string> {
    const path = this.join(name);
    await mkdir(dirname(path), { recursive: true });
    const raw = typeof content === "string" || content instanceof Uint8Array;
    await writeFile(path, raw ? content : JSON.stringify(content));
    return path;
  }

  async folder(name: string): Promise<string> {
    await mkdir(this.join(name), { recursive: true });
    return this.join(name);
  }

  /** Makes a link called `name` to `target`, which is relative to the link's folder. */
  async link(name: string, target: string): Promise<void> {
    await mkdir(dirname(this.join(name)), { recursive: true });
    await symlink(target, this.join(name));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.path, { recursive: true, force: true });
  }
}

/** What a Wan 2.1 image-to-video model's index says. */
export const modelIndex = {
  _class_name: "WanImageToVideoPipeline",
  _diffusers_version: "0.33.0.dev0",
  image_encoder: ["transformers", "CLIPVisionModel"],
  image_processor: ["transformers", "CLIPImageProcessor"],
  scheduler: ["diffusers", "UniPCMultistepScheduler"],
  text_encoder: ["transformers", "UMT5EncoderModel"],
  tokenizer: ["transformers", "T5TokenizerFast"],
  transformer: ["diffusers", "WanTransformer3DModel"],
  transformer_2: [null, null],
  vae: ["diffusers", "AutoencoderKLWan"],
} as const;

/** Writes {@link modelIndex} and an empty config for each part under `root`. */
export async function writeModel(directory: TemporaryDirectory, root: string): Promise<void> {
  await directory.write(`${root}/model_index.json`, modelIndex);
  for (const folder of ["image_encoder", "text_encoder", "transformer", "vae"]) {
    await directory.write(`${root}/${folder}/config.json`, {});
  }
  await directory.write(`${root}/scheduler/scheduler_config.json`, { flow_shift: 3 });
  await directory.write(`${root}/image_processor/preprocessor_config.json`, {});
  await directory.write(`${root}/tokenizer/tokenizer_config.json`, {});
  await directory.write(`${root}/tokenizer/tokenizer.json`, {});
}

/** What `call` rejects with. */
export async function rejection(call: Promise<unknown>): Promise<unknown> {
  try {
    await call;
  } catch (error) {
    return error;
  }
  throw new Error("the call succeeded");
}
