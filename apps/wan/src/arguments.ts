import { nearestName } from "@wan-ts/attention";
import { Command, CommanderError, Option } from "commander";
import packageFile from "../package.json";
import { checkConfig, namedByFlag } from "./config/check.ts";
import type { Config } from "./config/schema.ts";
import { type Flag, flags, flagsOf } from "./flags.ts";
import { InputError } from "./input-error.ts";

/** What the command line asks for. */
export type Request =
  | { readonly command: "generate"; readonly configFile: string | undefined; readonly flags: Config }
  | ({
      readonly command: "plan";
      readonly configFile: string | undefined;
      readonly flags: Config;
    } & PlanFlags)
  | { readonly command: "doctor"; readonly json: boolean }
  | { readonly command: "help" | "version"; readonly text: string };

/** What `plan` alone is asked. */
export interface PlanFlags {
  /** Ranks to plan for, on whatever machines; by default those of `--nproc`. */
  readonly ranks: number | undefined;
  /** Bytes a second that each rank sends and receives at the same time. */
  readonly bandwidth: number | undefined;
  /** Bytes that the CUDA device can give; by default what the one of this machine has free. */
  readonly deviceMemory: number | undefined;
}

/** The most ranks that are planned for. */
const mostRanks = 256;

/** Columns of help where the output has no width of its own. */
const helpWidth = 110;

/**
 * Reads the command line.
 *
 * @throws {InputError} one line that names the flag.
 */
export function parseArguments(argv: readonly string[]): Request {
  let request: Request | undefined;
  let written = "";
  const program = new Command("bun run app")
    .description("Makes a video from a prompt, or from an image and a prompt, with Wan diffusion models.")
    .version(packageFile.version, "-V, --version", "the version of wan-ts")
    .usage("[command] [flags]")
    .helpOption("-h, --help", "this, or the flags of a command")
    .helpCommand(false)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => (written += text),
      writeErr: () => undefined,
      outputError: () => undefined,
      getOutHelpWidth: () => helpWidth,
    });

  /** A command that takes the flags of a run. */
  const runCommand = (name: "generate" | "plan", description: string, isDefault: boolean): Command => {
    const command = program
      .command(name, { isDefault })
      .description(description)
      .usage("[flags]")
      .argument("[excess...]")
      .addOption(
        new Option(
          "--config <FILE>",
          "JSON or TypeScript; flags win over it (default: wan.config.* if there)",
        ),
      );
    for (const flag of flags) command.addOption(toOption(flag));
    return command.action((excess: readonly string[], values: Record<string, unknown>) => {
      refuseExcess(excess, isDefault ? ["generate", "doctor", "plan"] : []);
      const common = {
        configFile: values.config as string | undefined,
        flags: checkConfig(toConfig(values), namedByFlag),
      };
      request =
        name === "plan" ? { command: name, ...common, ...planFlags(values) } : { command: name, ...common };
    });
  };
  const generate = runCommand("generate", "make a video; what runs without a command", true);
  runCommand("plan", "memory, work and time of the same run, without loading weights", false)
    .option("--ranks <N>", "ranks to plan for: shards, collectives, memory and efficiency")
    .option("--bandwidth <X>", "GB/s that a rank sends and receives at the same time (default: 5)")
    .option("--device-memory <X>", "GiB that the CUDA device has (default: what this machine's has free)");
  program
    .command("doctor")
    .description("devices, CPU features, libraries, backends; what is missing and how to get it")
    .usage("[flags]")
    .argument("[excess...]")
    .option("--json", "one JSON object")
    .action((excess: readonly string[], values: { json?: boolean }) => {
      refuseExcess(excess, []);
      request = { command: "doctor", json: values.json ?? false };
    });
  for (const command of program.commands) {
    command.copyInheritedSettings(program).configureHelp({ visibleArguments: () => [] });
  }
  program.configureHelp({ subcommandTerm: (command) => command.name() });
  // Without a command the flags are generate's, so the first help that people see has them.
  program.addHelpText("after", () => {
    const text = generate.helpInformation();
    return `\nFlags of generate:\n${text.slice(text.indexOf("Options:") + "Options:".length + 1).trimEnd()}

A checkpoint may come with defaults of its own, as the embedded one does (defaults.json).`;
  });

  try {
    program.parse([...argv], { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.code === "commander.version") return { command: "version", text: written };
    if (error.exitCode === 0) return { command: "help", text: written };
    throw new InputError(error.message.replace(/^error: /, "").replaceAll("\n", " "));
  }
  return request ?? { command: "help", text: written };
}

function planFlags({ ranks, bandwidth, deviceMemory }: Record<string, unknown>): PlanFlags {
  const number = (name: string, text: unknown, fits: (value: number) => boolean, expected: string) => {
    if (text === undefined) return undefined;
    const value = Number(text);
    if (typeof text === "string" && text.trim() !== "" && fits(value)) return value;
    throw new InputError(`${name} must be ${expected}, but is ${JSON.stringify(text)}`);
  };
  const positive = (name: string, text: unknown): number | undefined =>
    number(name, text, (value) => value > 0 && Number.isFinite(value), "a number above 0");
  const gigabytes = positive("--bandwidth", bandwidth);
  const gibibytes = positive("--device-memory", deviceMemory);
  return {
    ranks: number(
      "--ranks",
      ranks,
      (value) => Number.isInteger(value) && value >= 1 && value <= mostRanks,
      `a whole number from 1 to ${mostRanks}`,
    ),
    bandwidth: gigabytes === undefined ? undefined : gigabytes * 1e9,
    deviceMemory: gibibytes === undefined ? undefined : gibibytes * 2 ** 30,
  };
}

/** Commands take flags alone; a word that stands by itself was most likely meant as a command. */
function refuseExcess([word]: readonly string[], commands: readonly string[]): void {
  if (word === undefined) return;
  const near = nearestName(word, commands);
  const advice = near === undefined ? "commands take flags alone" : `did you mean "${near}"?`;
  throw new InputError(`there is no command ${JSON.stringify(word)}; ${advice}`);
}

function toOption(flag: Flag): Option {
  const option = new Option(flag.value === undefined ? flag.name : `${flag.name} <${flag.value}>`, flag.help);
  if (flag.unavailable) option.hideHelp();
  return option;
}

function toConfig(values: Record<string, unknown>): Record<string, unknown> {
  const config: Record<string, unknown> = {};
  for (const flag of flags) {
    const value = values[camelCase(flag.name)];
    if (value === undefined) continue;
    let group = config;
    for (const key of flag.path.slice(0, -1)) {
      group[key] ??= {};
      group = group[key] as Record<string, unknown>;
    }
    const key = flag.path.at(-1) as string;
    if (group[key] !== undefined) refuseBoth(flag, values);
    group[key] = flag.reads === "number" ? toNumber(flag, value as string) : (flag.sets ?? value);
  }
  return config;
}

/** Two flags of one key say different things. */
function refuseBoth(flag: Flag, values: Record<string, unknown>): never {
  const given = flagsOf(flag.path).filter(({ name }) => values[camelCase(name)] !== undefined);
  throw new InputError(`${given.map(({ name }) => name).join(" and ")} exclude each other; give one`);
}

function toNumber(flag: Flag, text: string): number {
  if (!/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text)) {
    throw new InputError(`${flag.name} must be a number, but is ${JSON.stringify(text)}`);
  }
  return Number(text);
}

function camelCase(flag: string): string {
  return flag.replace(/^--/, "").replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
}
