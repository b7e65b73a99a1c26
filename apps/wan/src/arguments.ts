import { Command, CommanderError, Option } from "commander";
import { checkConfig, namedByFlag } from "./config/check.ts";
import type { Config } from "./config/schema.ts";
import { type Flag, flags } from "./flags.ts";
import { InputError } from "./input-error.ts";

/** What the command line asks for. */
export type Request =
  | { readonly command: "generate"; readonly configFile: string | undefined; readonly flags: Config }
  | { readonly command: "doctor"; readonly json: boolean }
  | { readonly command: "help"; readonly text: string };

/**
 * Reads the command line.
 *
 * @throws {InputError} one line that names the flag.
 */
export function parseArguments(argv: readonly string[]): Request {
  let request: Request | undefined;
  let help = "";
  const program = new Command("wan")
    .description("Makes a video from a prompt, or from an image and a prompt, with Wan diffusion models.")
    .exitOverride()
    .configureOutput({
      writeOut: (text) => (help += text),
      writeErr: () => undefined,
      outputError: () => undefined,
    });

  const generate = program
    .command("generate", { isDefault: true })
    .description("make a video (the default command)")
    .allowExcessArguments(false)
    .option(
      "--config <FILE>",
      "JSON or TypeScript config; flags win over it (default: wan.config.* if there)",
    );
  for (const flag of flags) generate.addOption(toOption(flag));
  generate.action((values: Record<string, unknown>) => {
    request = {
      command: "generate",
      configFile: values.config as string | undefined,
      flags: checkConfig(toConfig(values), namedByFlag),
    };
  });
  program
    .command("doctor")
    .description("devices, CPU features, libraries, backends; what is missing and how to get it")
    .allowExcessArguments(false)
    .option("--json", "as JSON")
    .action((values: { json?: boolean }) => {
      request = { command: "doctor", json: values.json ?? false };
    });
  program
    .command("plan")
    .description("what would run (not available in this version)")
    .allowUnknownOption()
    .allowExcessArguments()
    .action(() => {
      throw new InputError("plan is not available in this version of wan-ts");
    });
  for (const command of program.commands) command.exitOverride().copyInheritedSettings(program);

  try {
    program.parse([...argv], { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0 || error.code === "commander.help") return { command: "help", text: help };
    throw new InputError(error.message.replace(/^error: /, "").replaceAll("\n", " "));
  }
  return request ?? { command: "help", text: help };
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
    group[flag.path.at(-1) as string] = flag.reads === "number" ? toNumber(flag, value as string) : value;
  }
  return config;
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
