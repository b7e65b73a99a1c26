/**
 * Makes a checkpoint of any Wan config with random weights: for measuring memory and speed at sizes
 * that no small checkpoint has. Its videos are noise.
 *
 * Usage: bun scripts/random-checkpoint.ts DIRECTORY [--like MODEL] [--dtype float32|bfloat16]
 *          [--transformer JSON] [--vae JSON] [--text-encoder JSON] [--image-encoder JSON]
 *
 * Everything is taken from MODEL, a directory (by default models/wan-tiny), but the keys of the
 * configs that the JSON objects give, and the weights.
 */
import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { AttentionDispatcher } from "../packages/attention/src/index.ts";
import {
  ClipVisionEncoder,
  parseClipVisionConfig,
  parseTransformerConfig,
  parseUmt5Config,
  parseVaeConfig,
  Umt5Encoder,
  WanTransformer,
  WanVae,
} from "../packages/models/src/index.ts";
import type { ModuleNode } from "../packages/nn/src/index.ts";
import { defaultAttentionRegistry } from "../packages/wan/src/index.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    like: { type: "string", default: join(dirname(import.meta.dir), "models/wan-tiny") },
    dtype: { type: "string", default: "bfloat16" },
    transformer: { type: "string", default: "{}" },
    vae: { type: "string", default: "{}" },
    "text-encoder": { type: "string", default: "{}" },
    "image-encoder": { type: "string", default: "{}" },
  },
});
const [directory] = positionals;
if (directory === undefined || !["float32", "bfloat16"].includes(values.dtype)) {
  process.stderr.write(
    "usage: bun scripts/random-checkpoint.ts DIRECTORY [--dtype float32|bfloat16] [--PART JSON]\n",
  );
  process.exit(2);
}

/** Values that are written at a time. */
const blockLength = 1 << 20;
const attention = new AttentionDispatcher(defaultAttentionRegistry(), []);
type Json = Record<string, unknown>;
interface Part {
  readonly folder: string;
  readonly weights: string;
  readonly changes: string;
  readonly build: (config: Json, file: string) => ModuleNode;
}
const parts: readonly Part[] = [
  {
    folder: "transformer",
    weights: "diffusion_pytorch_model",
    changes: values.transformer,
    build: (config, file) => new WanTransformer(parseTransformerConfig(config, file), attention),
  },
  {
    folder: "vae",
    weights: "diffusion_pytorch_model",
    changes: values.vae,
    build: (config, file) => new WanVae(parseVaeConfig(config, file), attention),
  },
  {
    folder: "text_encoder",
    weights: "model",
    changes: values["text-encoder"],
    build: (config, file) => new Umt5Encoder(parseUmt5Config(config, file), attention),
  },
  {
    folder: "image_encoder",
    weights: "model",
    changes: values["image-encoder"],
    build: (config, file) => new ClipVisionEncoder(parseClipVisionConfig(config, file), attention),
  },
];

await mkdir(directory, { recursive: true });
await cp(values.like, directory, { recursive: true });
for (const { folder, weights, changes, build } of parts) {
  const file = join(directory, folder, "config.json");
  const text = await readFile(file, "utf8").catch(() => undefined);
  if (text === undefined) continue; // The model has no such part.
  const config = { ...(JSON.parse(text) as Json), ...(JSON.parse(changes) as Json) };
  await writeFile(file, `${JSON.stringify(config, null, 2)}\n`);
  await writeWeights(join(directory, folder, `${weights}.safetensors`), build(config, file));
}

/** Writes a safetensors file of random parameters, one after the other, so that large ones fit. */
async function writeWeights(file: string, module: ModuleNode): Promise<void> {
  const size = values.dtype === "float32" ? 4 : 2;
  const header: Record<string, unknown> = {};
  let offset = 0;
  for (const [name, { shape }] of module.namedParameters()) {
    const end = offset + shape.reduce((product, extent) => product * extent, size);
    header[name] = { dtype: size === 4 ? "F32" : "BF16", shape, data_offsets: [offset, end] };
    offset = end;
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  // Data starts at a multiple of 64, so that tensors can be read in place.
  const padded = new Uint8Array(Math.ceil((8 + json.length) / 64) * 64 - 8).fill(0x20);
  padded.set(json);
  await rm(file, { force: true });
  const writer = Bun.file(file).writer();
  await writer.write(new BigUint64Array([BigInt(padded.length)]));
  await writer.write(padded);
  for (const [name, { shape }] of module.namedParameters()) {
    const count = shape.reduce((product, extent) => product * extent, 1);
    for (let at = 0; at < count; at += blockLength) {
      await writer.write(stored(block(name, shape, Math.min(blockLength, count - at))));
      await writer.flush();
    }
  }
  await writer.end();
}

/** Scales are 1 and biases 0; the rest is random, of a size that keeps a layer's output about its input's. */
function block(name: string, shape: readonly number[], count: number): Float32Array {
  const last = name.split(".").at(-1);
  if (last === "gamma" || (last === "weight" && shape.length === 1)) return new Float32Array(count).fill(1);
  if (shape.length <= 1) return new Float32Array(count);
  const inputs = shape.slice(1).reduce((product, extent) => product * extent, 1);
  const bound = Math.sqrt(3 / inputs);
  let state = Bun.hash.crc32(name) | 1;
  return Float32Array.from({ length: count }, () => {
    // Xorshift (Marsaglia 2003): quick, and the same each time.
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state / 2 ** 31) * bound;
  });
}

function stored(floats: Float32Array): Uint8Array {
  if (values.dtype === "float32") return new Uint8Array(floats.buffer);
  const bits = new Uint32Array(floats.buffer);
  return new Uint8Array(Uint16Array.from(bits, (value) => value >>> 16).buffer);
}
