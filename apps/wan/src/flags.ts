/** One flag of the command line: its place in the config and how its text is read. */
export interface Flag {
  /** As typed, such as `--guidance-scale`. */
  readonly name: string;
  /** What stands for the value in help; absent for a switch. */
  readonly value?: string;
  /** The config key, as a path. */
  readonly path: readonly [string, ...string[]];
  readonly reads: "text" | "number" | "switch";
  /** What a switch sets its key to; by default `true`. */
  readonly sets?: string;
  readonly help: string;
  /** Known, but this version doesn't have what it asks for. */
  readonly unavailable?: true;
}

/** The flags of `generate`, in the order of help. */
export const flags: readonly Flag[] = [
  {
    name: "--model",
    value: "DIR_OR_ID",
    path: ["model"],
    reads: "text",
    help: "checkpoint in diffusers layout: a directory or a hub id (default: the embedded wan-tiny)",
  },
  { name: "--image", value: "FILE", path: ["image"], reads: "text", help: "first frame: PNG, JPEG or WebP" },
  {
    name: "--last-image",
    value: "FILE",
    path: ["lastImage"],
    reads: "text",
    help: "last frame, where the model takes one",
  },
  { name: "--prompt", value: "TEXT", path: ["prompt"], reads: "text", help: "what to show" },
  {
    name: "--negative-prompt",
    value: "TEXT",
    path: ["negativePrompt"],
    reads: "text",
    help: 'what not to show (default: "")',
  },
  {
    name: "--height",
    value: "N",
    path: ["height"],
    reads: "number",
    help: "pixels, a multiple of 16 (default: by the image's aspect, in the area of 480 × 832)",
  },
  { name: "--width", value: "N", path: ["width"], reads: "number", help: "pixels, a multiple of 16" },
  {
    name: "--frames",
    value: "N",
    path: ["frames"],
    reads: "number",
    help: "how many, 4k + 1 (default: 81)",
  },
  {
    name: "--fps",
    value: "N",
    path: ["fps"],
    reads: "number",
    help: "frames a second (default: 16)",
  },
  { name: "--steps", value: "N", path: ["steps"], reads: "number", help: "denoising steps (default: 16)" },
  {
    name: "--guidance-scale",
    value: "X",
    path: ["guidanceScale"],
    reads: "number",
    help: "how far to follow the prompt; 1 or less: no guidance (default: 5)",
  },
  {
    name: "--guidance-scale-2",
    value: "X",
    path: ["guidanceScale2"],
    reads: "number",
    help: "the same for the low-noise expert (default: --guidance-scale)",
  },
  {
    name: "--seed",
    value: "N",
    path: ["seed"],
    reads: "number",
    help: "of the random numbers (default: 42)",
  },
  {
    name: "--scheduler",
    value: "NAME",
    path: ["scheduler"],
    reads: "text",
    help: "unipc or euler (default: the checkpoint's)",
  },
  {
    name: "--flow-shift",
    value: "X",
    path: ["flowShift"],
    reads: "number",
    help: "shift of the noise levels (default: the checkpoint's)",
  },
  {
    name: "--dtype",
    value: "NAME",
    path: ["dtype"],
    reads: "text",
    help: "float32, bfloat16 or float16, of transformer and text encoder (default: what the device is best at)",
  },
  {
    name: "--device",
    value: "NAME",
    path: ["device"],
    reads: "text",
    help: "cpu, cuda or cuda:N (default: cuda where there is one)",
  },
  {
    name: "--threads",
    value: "N",
    path: ["threads"],
    reads: "number",
    help: "CPU threads of each rank (default: the cores at hand, shared out)",
  },
  {
    name: "--instruction-set",
    value: "NAME",
    path: ["instructionSet"],
    reads: "text",
    help: "portable, avx2, avx512 or avx512bf16 (default: the widest that the processor has)",
  },
  {
    name: "--attention",
    value: "NAME",
    path: ["attention", "backend"],
    reads: "text",
    help: "attention backend: native, cuda, cudnn or reference (default: the best for the device)",
  },
  {
    name: "--nproc",
    value: "N",
    path: ["parallel", "nproc"],
    reads: "number",
    help: "ranks to start on this machine (default: 1)",
  },
  {
    name: "--ulysses",
    value: "N",
    path: ["parallel", "ulysses"],
    reads: "number",
    help: "ranks that share out the heads of attention (default: as far as there are heads)",
  },
  {
    name: "--ring",
    value: "N",
    path: ["parallel", "ring"],
    reads: "number",
    help: "ranks that hand keys and values round (default: what is left of the ranks)",
  },
  {
    name: "--cfg-parallel",
    path: ["parallel", "cfg"],
    reads: "switch",
    help: "the passes with prompt and negative prompt on different ranks",
  },
  {
    name: "--quantization",
    value: "NAME",
    path: ["quantization"],
    reads: "text",
    help: "nf4 or int8: weights of transformer and text encoder in fewer bits (default: as they are stored)",
  },
  {
    name: "--vae-tiling",
    path: ["vaeTiling"],
    reads: "switch",
    help: "encode and decode in tiles of 256 pixels, blended: less memory",
  },
  {
    name: "--cpu-offload",
    path: ["cpuOffload"],
    reads: "switch",
    help: "keep only the part at work in memory",
  },
  {
    name: "--cpu-offload-blocks",
    path: ["cpuOffload"],
    reads: "switch",
    sets: "block",
    help: "the same, with only the block at work and the next one on the CUDA device",
  },
  {
    name: "--parallel-text-encoder",
    path: ["parallel", "textEncoder"],
    reads: "switch",
    help: "each rank holds its share of the text encoder, and computes it",
  },
  { name: "--cache", value: "NAME", path: ["cache"], reads: "text", help: "step cache", unavailable: true },
  {
    name: "--output",
    value: "FILE",
    path: ["output", "file"],
    reads: "text",
    help: ".mp4, .gif, .png (first frame) or a directory of frames (default: out.mp4)",
  },
  {
    name: "--save-latents",
    value: "FILE",
    path: ["output", "saveLatents"],
    reads: "text",
    help: "final latents, safetensors",
  },
  {
    name: "--save-frames",
    value: "FILE",
    path: ["output", "saveFrames"],
    reads: "text",
    help: "decoded frames in [0, 1], safetensors",
  },
  {
    name: "--trace",
    value: "FILE",
    path: ["output", "trace"],
    reads: "text",
    help: "Chrome trace of each rank: operations, and collectives with their bytes; Perfetto opens it",
  },
  {
    name: "--log-ranks",
    path: ["output", "logRanks"],
    reads: "switch",
    help: "show the lines of ranks other than 0 too, with the rank before each",
  },
  { name: "--quiet", path: ["output", "quiet"], reads: "switch", help: "no progress" },
  {
    name: "--json",
    path: ["output", "json"],
    reads: "switch",
    help: "one JSON object on the last line of standard output",
  },
];

/** The flags that set a config key: none, or one for each value that has its own. */
export function flagsOf(path: readonly PropertyKey[]): readonly Flag[] {
  const key = path.join(".");
  return flags.filter((flag) => flag.path.join(".") === key);
}

/** The flag that sets a config key, if there is one; the first where there are several. */
export function flagOf(path: readonly PropertyKey[]): Flag | undefined {
  return flagsOf(path)[0];
}
