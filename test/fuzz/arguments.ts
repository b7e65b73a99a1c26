import { parseArgs } from "node:util";
import type { FuzzTarget } from "./fuzz-target.ts";
import { fuzzTargets } from "./targets/index.ts";

/** What the command line of the fuzzer asks for. */
export interface FuzzRequest {
  readonly targets: readonly FuzzTarget[];
  /** Of the first case of each target. */
  readonly seed: number;
  /** Of each target. */
  readonly cases: number;
  /** Whether to go on after a failure, instead of with the next target. */
  readonly keepGoing: boolean;
}

const defaultCases = 1_000_000;
/** Leaves room to count on from a seed. */
const largestSeed = 2 ** 50;

/** Reads the command line; the text is what is wrong with it. */
export function readFuzzArguments(argv: readonly string[]): FuzzRequest | string {
  let values: { only?: string; cases?: string; seed?: string; "keep-going"?: boolean };
  try {
    ({ values } = parseArgs({
      args: [...argv],
      options: {
        only: { type: "string" },
        cases: { type: "string" },
        seed: { type: "string" },
        "keep-going": { type: "boolean" },
      },
    }));
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  const known = fuzzTargets.map(({ name }) => name);
  const names = values.only?.split(",") ?? known;
  const unknown = names.filter((name) => !known.includes(name));
  if (unknown.length > 0)
    return `--only: there is no target ${unknown.join(", ")}; targets are ${known.join(", ")}`;
  const cases = wholeNumber(values.cases ?? `${defaultCases}`);
  if (cases === undefined || cases < 1)
    return `--cases must be a whole number from 1, but is ${values.cases}`;
  const seed = wholeNumber(values.seed ?? "1");
  if (seed === undefined) return `--seed must be a whole number from 0, but is ${values.seed}`;
  const targets = fuzzTargets.filter(({ name }) => names.includes(name));
  return { targets, seed, cases, keepGoing: values["keep-going"] ?? false };
}

function wholeNumber(text: string): number | undefined {
  const value = Number(text);
  return /^\d+$/.test(text) && value <= largestSeed ? value : undefined;
}
