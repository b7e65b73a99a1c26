import { nearestName } from "@wan-ts/attention";
import { Command, CommanderError } from "commander";
import { InputError } from "../input-error.ts";
import { cudaNames, families, peakName, unavailableNames } from "./families.ts";
import type { Repeats } from "./measure.ts";

/** What the command line of the benchmarks asks for. */
export interface BenchRequest {
  /** Names of families, `peak` among them. */
  readonly only: readonly string[];
  /** Part of the descriptions of cases to run; empty for all. */
  readonly filter: string;
  readonly threads: number | undefined;
  /** `cpu`, `cuda` for the first CUDA device, or `cuda:N`. */
  readonly device: string;
  readonly json: string | undefined;
  readonly peers: boolean;
  readonly repeats: Repeats;
  /** Kernels of attention to set side by side, and nothing else; undefined where that isn't asked for. */
  readonly kernels: readonly string[] | undefined;
}

/**
 * Reads the command line of `bun run bench`; the text of its help where that is asked for.
 *
 * @throws {InputError} one line that names the flag.
 */
export function parseBenchArguments(argv: readonly string[]): BenchRequest | { readonly help: string } {
  const known = [peakName, ...families.map((family) => family.name)];
  let help = "";
  const program = new Command("bun run bench")
    .description(
      "Times kernels and whole pieces beside the machine's own peak. Each result is checked first.",
    )
    .usage("[flags]")
    .allowExcessArguments(false)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => (help += text),
      writeErr: () => undefined,
      outputError: () => undefined,
    })
    .option("--only <NAME,…>", `families to run: ${known.join(", ")} (default: all)`)
    .option("--case <TEXT>", "only cases whose description or dtype has TEXT in it")
    .option("--threads <N>", "CPU threads (default: the cores at hand)")
    .option("--device <NAME>", "cpu, cuda or cuda:N", "cpu")
    .option("--runs <N>", "runs of each case at least", "3")
    .option("--json <FILE>", "write the results as a JSON list")
    .option("--kernels <NAME,…>", "attention by these alone, side by side: plain, pipelined, …")
    .option("--peers", "time PyTorch too: python3, or $WAN_PEER_PYTHON")
    .helpOption("-h, --help", "this");
  try {
    program.parse([...argv], { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return { help };
    throw new InputError(error.message.replace(/^error: /, "").replaceAll("\n", " "));
  }
  const values = program.opts<Record<string, string | undefined> & { readonly peers?: boolean }>();
  const { device = "cpu" } = values;
  if (!/^(cpu|cuda(:\d+)?)$/.test(device)) {
    throw new InputError(`--device must be cpu or cuda[:N], but is ${JSON.stringify(device)}`);
  }
  const there = device === "cpu" ? known : cudaNames;
  if (values.kernels !== undefined && device === "cpu") {
    throw new InputError("--kernels chooses among those of --device cuda");
  }
  if (values.kernels !== undefined && (values.only ?? values.json) !== undefined) {
    throw new InputError(
      "--kernels times attention alone and prints a table: it takes no --only and no --json",
    );
  }
  const threads = values.threads === undefined ? undefined : whole("--threads", values.threads, 1024);
  return {
    only: values.only === undefined ? there : names(values.only, known, there),
    filter: values.case ?? "",
    threads,
    device,
    json: values.json,
    peers: values.peers ?? false,
    kernels: values.kernels?.split(","),
    repeats: { runs: whole("--runs", values.runs ?? "3", 1000), shortestSeconds: 1, longestSeconds: 60 },
  };
}

function names(list: string, known: readonly string[], there: readonly string[]): string[] {
  return list.split(",").map((name) => {
    if (there.includes(name)) return name;
    if (known.includes(name)) throw new InputError(`--only: ${name} runs on --device cpu alone`);
    if (unavailableNames.includes(name)) {
      throw new InputError(`--only: ${name} is not available in this version of wan-ts`);
    }
    const near = nearestName(name, known);
    const advice = near === undefined ? `there are ${known.join(", ")}` : `did you mean "${near}"?`;
    throw new InputError(`--only: there is no benchmark ${JSON.stringify(name)}; ${advice}`);
  });
}

function whole(flag: string, text: string, most: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= 1 && value <= most) return value;
  throw new InputError(`${flag} must be a whole number from 1 to ${most}, but is ${JSON.stringify(text)}`);
}
