import { z } from "zod";

const text = z.string();
const natural = z.int("must be a whole number");

/** What a config file may say, and what flags amount to. Sizes that depend on the model are checked with it. */
export const configSchema = z
  .strictObject({
    model: text.min(1, "must name a directory or hub id").describe("Checkpoint: a directory or a hub id"),
    image: text.min(1, "must name a file").describe("First frame: PNG, JPEG or WebP"),
    lastImage: text.min(1, "must name a file").describe("Last frame: PNG, JPEG or WebP"),
    prompt: text.max(100_000, "must have at most 100000 characters").describe("What to show"),
    negativePrompt: text.max(100_000, "must have at most 100000 characters").describe("What not to show"),
    height: natural.min(16, "must be at least 16").max(16_384, "must be at most 16384").describe("Pixels"),
    width: natural.min(16, "must be at least 16").max(16_384, "must be at most 16384").describe("Pixels"),
    frames: natural
      .min(1, "must be at least 1")
      .max(100_000, "must be at most 100000")
      .describe("How many frames, 4k + 1"),
    fps: z.number().gt(0, "must be above 0").max(1000, "must be at most 1000").describe("Frames a second"),
    steps: natural.min(1, "must be at least 1").max(1000, "must be at most 1000").describe("Denoising steps"),
    guidanceScale: z
      .number()
      .min(0, "must be at least 0")
      .max(1000, "must be at most 1000")
      .describe("How far to follow the prompt"),
    guidanceScale2: z
      .number()
      .min(0, "must be at least 0")
      .max(1000, "must be at most 1000")
      .describe("The same for the low-noise expert"),
    seed: natural.min(0, "must be at least 0").describe("Of the random numbers"),
    scheduler: z.enum(["unipc", "euler"], "must be unipc or euler").describe("In place of the checkpoint's"),
    flowShift: z
      .number()
      .gt(0, "must be above 0")
      .max(1000, "must be at most 1000")
      .describe("Shift of the noise levels"),
    dtype: z
      .enum(["float32", "bfloat16", "float16"], "must be float32, bfloat16 or float16")
      .describe("Of transformer and text encoder"),
    device: text.regex(/^(cpu|cuda(:\d+)?)$/, "must be cpu or cuda[:N]").describe("Where to compute"),
    instructionSet: z
      .enum(["portable", "avx2", "avx512", "avx512bf16"], "must be portable, avx2, avx512 or avx512bf16")
      .describe("Widest instruction set that kernels use"),
    threads: natural
      .min(1, "must be at least 1")
      .max(1024, "must be at most 1024")
      .describe("CPU threads of each rank"),
    attention: z.strictObject({ backend: text.min(1).describe("Attention backend") }).partial(),
    parallel: z
      .strictObject({
        nproc: natural
          .min(1, "must be at least 1")
          .max(256, "must be at most 256")
          .describe("Ranks to start on this machine"),
        ulysses: natural.min(1, "must be at least 1").describe("Ranks that share out heads"),
        ring: natural.min(1, "must be at least 1").describe("Ranks that hand keys and values round"),
        cfg: z.boolean().describe("The passes with prompt and negative prompt on different ranks"),
        textEncoder: z.boolean().describe("Split the text encoder over ranks"),
      })
      .partial(),
    quantization: z
      .enum(["nf4", "int8"], "must be nf4 or int8 (fp8 is not available in this version of wan-ts)")
      .describe("Of weights, on load"),
    vaeTiling: z.boolean().describe("Encode and decode in tiles"),
    cpuOffload: z
      .union([z.boolean(), z.literal("block")], 'must be true, false or "block"')
      .describe("Keep only the part at work in memory; by block, of it only two blocks on the CUDA device"),
    cache: text.describe("Step cache"),
    output: z
      .strictObject({
        file: text
          .min(1, "must name a file or directory")
          .describe(".mp4, .gif, .png or a directory of frames"),
        saveLatents: text.min(1, "must name a file").describe("Final latents, safetensors"),
        saveFrames: text.min(1, "must name a file").describe("Decoded frames, safetensors"),
        trace: text.min(1, "must name a file").describe("Chrome trace"),
        logRanks: z.boolean().describe("Show the lines of ranks other than 0"),
        quiet: z.boolean().describe("No progress"),
        json: z.boolean().describe("One JSON object on the last line of standard output"),
      })
      .partial(),
  })
  .partial();

/** A checked config: what was said, without defaults. */
export type Config = z.infer<typeof configSchema>;

/** What defaults beside a checkpoint may say: nothing about this machine, and no file to write. */
export const checkpointDefaultsSchema = configSchema.pick({
  image: true,
  lastImage: true,
  prompt: true,
  negativePrompt: true,
  height: true,
  width: true,
  frames: true,
  fps: true,
  steps: true,
  guidanceScale: true,
  guidanceScale2: true,
  seed: true,
});

/** The JSON schema of config files, for editors. */
export function configJsonSchema(): Record<string, unknown> {
  const { $schema, properties, ...schema } = z.toJSONSchema(configSchema, { io: "input" });
  const pointer = { type: "string", description: "Where an editor finds this schema" };
  return {
    $schema,
    title: "wan-ts config",
    ...schema,
    properties: { $schema: pointer, ...properties },
  };
}
