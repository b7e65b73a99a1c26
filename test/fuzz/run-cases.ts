import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { FuzzInput, FuzzTarget } from "./fuzz-target.ts";
import { FuzzRandom } from "./random.ts";

/** Which cases to run. */
export interface CaseRange {
  /** The seed of the first case; each case after it has the next. */
  readonly seed: number;
  readonly cases: number;
  /** Told the seed of each case before it runs. */
  readonly onCase?: (seed: number) => void;
  /** Counted on from where it stands, so that a failure leaves the counts behind; by default a new one. */
  readonly tally?: Map<string, number>;
}

/** How often each outcome came. */
export type Tally = ReadonlyMap<string, number>;

/** A case whose reader broke a promise. */
export class FuzzFailure extends Error {
  override readonly name = "FuzzFailure";
  readonly code = "fuzz";
  /** The target's name. */
  readonly target: string;
  /** The case's own seed, to run it alone. */
  readonly seed: number;
  readonly input: FuzzInput;

  constructor(target: string, seed: number, input: FuzzInput, cause: unknown) {
    const reason = cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause);
    super(`${target}, seed ${seed} (${input.place}, ${input.bytes.length} bytes): ${reason.slice(0, 2000)}`, {
      cause,
    });
    this.target = target;
    this.seed = seed;
    this.input = input;
  }
}

/**
 * Runs cases of a target in this process.
 *
 * @throws {FuzzFailure} at the first that fails.
 */
export async function runCases(
  target: FuzzTarget,
  { seed, cases, onCase, tally = new Map() }: CaseRange,
): Promise<Tally> {
  const folder = await mkdtemp(join(tmpdir(), `wan-ts-fuzz-${target.name}-`));
  const before = mostResidentBytes();
  try {
    const open = await target.open(folder);
    for (let current = seed; current < seed + cases; current++) {
      onCase?.(current);
      const input = open.input(new FuzzRandom(current));
      try {
        const outcome = await open.run(input);
        tally.set(outcome, (tally.get(outcome) ?? 0) + 1);
        const grown = mostResidentBytes() - before;
        if (grown > target.maxResidentBytes) {
          throw new RangeError(`memory grew by ${grown} bytes, the limit is ${target.maxResidentBytes}`);
        }
      } catch (error) {
        throw new FuzzFailure(target.name, current, input, error);
      }
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  return tally;
}

/** The input of one case, without running it. */
export async function inputOf(target: FuzzTarget, seed: number): Promise<FuzzInput> {
  const folder = await mkdtemp(join(tmpdir(), `wan-ts-fuzz-${target.name}-`));
  try {
    return (await target.open(folder)).input(new FuzzRandom(seed));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The most memory that this process has had. */
function mostResidentBytes(): number {
  return process.resourceUsage().maxRSS * 1024;
}
