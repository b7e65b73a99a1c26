import { join } from "node:path";
import { readConfig } from "@wan-ts/app/src/config/read.ts";
import { InputError } from "@wan-ts/app/src/input-error.ts";
import { accepted, BrokenPromise, type FuzzInput, type FuzzTarget, refusalOf } from "../fuzz-target.ts";
import { mutateJson } from "../mutate-json.ts";

const seeds: readonly unknown[] = [
  {
    $schema: "./wan.config.schema.json",
    model: "models/wan-tiny",
    image: "sample.png",
    prompt: "a red ball moves up on a sand background",
    negativePrompt: "blurred",
    height: 96,
    width: 96,
    frames: 17,
    fps: 8,
    steps: 12,
    guidanceScale: 4,
    seed: 42,
    scheduler: "unipc",
    flowShift: 3,
    dtype: "bfloat16",
    device: "cpu",
    threads: 2,
    attention: { backend: "native" },
    output: { file: "ball.mp4", saveLatents: "latents.safetensors", quiet: true, json: true },
  },
  { prompt: "a lighthouse", attention: {}, parallel: {}, output: {} },
];

/** wan.config.json: a refusal in one line, or a config of known keys. */
export const appConfigTarget: FuzzTarget = {
  name: "app-config",
  maxResidentBytes: 1 << 30,
  open(folder) {
    const file = join(folder, "wan.config.json");
    return Promise.resolve({
      input: (random) => ({ place: "wan.config.json", bytes: mutateJson(random.pick(seeds), random) }),
      async run({ bytes }: FuzzInput) {
        await Bun.write(file, bytes);
        try {
          const config = await readConfig(file);
          if ("polluted" in config || "polluted" in {}) throw new BrokenPromise("a prototype was written to");
          return accepted;
        } catch (error) {
          const refusal = refusalOf(error, [InputError]);
          if (error instanceof Error && error.message.includes("\n")) {
            throw new BrokenPromise("a refusal of several lines", { cause: error });
          }
          return refusal;
        }
      },
    });
  },
};
