import { describe, expect, test } from "bun:test";
import { parseArguments } from "./arguments.ts";
import { flags } from "./flags.ts";
import { InputError } from "./input-error.ts";

/** The message of the refusal of a command line. */
function refusal(...argv: string[]): string {
  try {
    parseArguments(argv);
  } catch (error) {
    expect(error).toBeInstanceOf(InputError);
    return (error as InputError).message;
  }
  throw new Error(`${argv.join(" ")} was taken`);
}

describe("parseArguments", () => {
  test("takes generate without its name, and nothing at all", () => {
    expect(parseArguments([])).toEqual({ command: "generate", configFile: undefined, flags: {} });
    const named = parseArguments(["generate", "--steps", "3"]);
    expect(named).toEqual(parseArguments(["--steps", "3"]));
    expect(named).toEqual({ command: "generate", configFile: undefined, flags: { steps: 3 } });
  });

  test("puts each flag in its place of the config", () => {
    const argv =
      "--config a.json --model m --image i.png --prompt p --negative-prompt n --height 96 --width 112 --frames 5" +
      " --fps 7.5 --steps 2 --guidance-scale 1e0 --seed 7 --scheduler euler --flow-shift 3 --dtype float32" +
      " --device cpu --threads 2 --instruction-set avx2 --attention reference --nproc 1 --output o.gif" +
      " --save-latents l --save-frames f --quiet --json";
    expect(parseArguments(argv.split(" "))).toEqual({
      command: "generate",
      configFile: "a.json",
      flags: {
        model: "m",
        image: "i.png",
        prompt: "p",
        negativePrompt: "n",
        height: 96,
        width: 112,
        frames: 5,
        fps: 7.5,
        steps: 2,
        guidanceScale: 1,
        seed: 7,
        scheduler: "euler",
        flowShift: 3,
        dtype: "float32",
        device: "cpu",
        threads: 2,
        instructionSet: "avx2",
        attention: { backend: "reference" },
        parallel: { nproc: 1 },
        output: { file: "o.gif", saveLatents: "l", saveFrames: "f", quiet: true, json: true },
      },
    });
  });

  test("takes one flag of those that set the same key", () => {
    const offload = (flag: string) => parseArguments([flag]);
    expect(offload("--cpu-offload")).toMatchObject({ flags: { cpuOffload: true } });
    expect(offload("--cpu-offload-blocks")).toMatchObject({ flags: { cpuOffload: "block" } });
    expect(refusal("--cpu-offload-blocks", "--cpu-offload")).toBe(
      "--cpu-offload and --cpu-offload-blocks exclude each other; give one",
    );
  });

  test("takes a prompt that looks like a flag, a number or nothing", () => {
    for (const prompt of ["--quiet", "12", "", "-5"]) {
      expect(parseArguments([`--prompt=${prompt}`])).toMatchObject({ flags: { prompt } });
    }
  });

  test("names an unknown flag and the nearest one", () => {
    expect(refusal("--promt", "x")).toBe("unknown option '--promt' (Did you mean --prompt?)");
    expect(refusal("doctor", "--jsno")).toBe("unknown option '--jsno' (Did you mean --json?)");
  });

  test("names an unknown command and the nearest one", () => {
    expect(refusal("genrate")).toBe('there is no command "genrate"; did you mean "generate"?');
    expect(refusal("doctor", "now")).toBe('there is no command "now"; commands take flags alone');
  });

  test("refuses a flag without its value", () => {
    expect(refusal("--steps")).toContain("--steps");
  });

  test("refuses what is no number, naming flag and value", () => {
    for (const text of ["many", "", "0x10", "1_000", "NaN", "Infinity", "1,5"]) {
      expect(refusal("--steps", text)).toBe(`--steps must be a number, but is ${JSON.stringify(text)}`);
    }
  });

  test("refuses numbers out of range", () => {
    expect(refusal("--steps", "0")).toBe("--steps must be at least 1, but is 0");
    expect(refusal("--steps", "2.5")).toBe("--steps must be a whole number, but is 2.5");
    expect(refusal("--seed", "-1")).toBe("--seed must be at least 0, but is -1");
    expect(refusal("--fps", "0")).toBe("--fps must be above 0, but is 0");
    expect(refusal("--height", "1e9")).toBe("--height must be at most 16384, but is 1000000000");
    expect(refusal("--guidance-scale", "1e400")).toContain("--guidance-scale");
    expect(refusal("--threads", "1025")).toBe("--threads must be at most 1024, but is 1025");
  });

  test("refuses names that are not in a list, with the list", () => {
    expect(refusal("--dtype", "fp8")).toBe('--dtype must be float32, bfloat16 or float16, but is "fp8"');
    expect(refusal("--quantization", "fp8")).toBe(
      '--quantization must be nf4 or int8 (fp8 is not available in this version of wan-ts), but is "fp8"',
    );
    expect(refusal("--scheduler", "ddim")).toBe('--scheduler must be unipc or euler, but is "ddim"');
    expect(refusal("--instruction-set", "sse")).toContain("portable, avx2, avx512 or avx512bf16");
  });

  test("tells several problems together", () => {
    expect(refusal("--steps", "0", "--fps", "-1")).toMatch(/--fps.*; --steps/);
  });

  test("says of each flag and command to come that it isn't available", () => {
    for (const flag of flags.filter(({ unavailable }) => unavailable)) {
      const value = flag.value === undefined ? [] : ["2"];
      expect(refusal(flag.name, ...value)).toBe(`${flag.name} is not available in this version of wan-ts`);
    }
    expect(refusal("--device", "gpu")).toBe('--device must be cpu or cuda[:N], but is "gpu"');
    expect(refusal("plan", "--cache", "any")).toBe("--cache is not available in this version of wan-ts");
  });

  test("helps: commands and the flags of generate, and not those to come", () => {
    const { command, text } = parseArguments(["--help"]) as { command: string; text: string };
    expect(command).toBe("help");
    for (const word of ["generate", "doctor", "--model", "--save-latents", "--ulysses"])
      expect(text).toContain(word);
    expect(text).not.toContain("--cache");
    expect(parseArguments(["generate", "--help"])).toMatchObject({ command: "help" });
    expect(parseArguments(["doctor", "-h"])).toMatchObject({ command: "help" });
  });

  test("tells the version", () => {
    const request = parseArguments(["--version"]);
    expect(request).toMatchObject({ command: "version", text: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) });
  });
});
