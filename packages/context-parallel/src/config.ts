import { ContextParallelError } from "./errors.ts";

/** How a model is split; what is left out, the planner chooses. */
export interface ContextParallelOptions {
  /** Ranks that share out the heads of attention, with two all-to-alls a block (Jacobs et al. 2023). */
  readonly ulyssesDegree?: number | undefined;
  /** Ranks that hand keys and values round in a ring (Liu et al. 2023). */
  readonly ringDegree?: number | undefined;
  /** Whether one half of the ranks computes with the prompt and the other with the negative prompt. */
  readonly cfgParallel?: boolean | undefined;
  /**
   * Whether an attention backend that isn't `rowInvariant` may be split over ranks: the last bits of a
   * result may then depend on how many there are. By default it is refused.
   */
  readonly allowRowVariant?: boolean | undefined;
}

/** The degrees of every axis. */
export interface ContextParallelDegrees {
  readonly cfg: 1 | 2;
  readonly ring: number;
  readonly ulysses: number;
}

/** What the planner goes by. */
export interface ContextParallelSetting {
  readonly worldSize: number;
  /** Of the model's self-attention. */
  readonly heads: number;
  /** Whether each step computes with two prompts; unknown counts as yes where `cfgParallel` says so. */
  readonly guided?: boolean | undefined;
}

/** How to split a model over ranks: frozen, and checked before anything is loaded. */
export class ContextParallelConfig implements ContextParallelOptions {
  readonly ulyssesDegree: number | undefined;
  readonly ringDegree: number | undefined;
  readonly cfgParallel: boolean | undefined;
  readonly allowRowVariant: boolean | undefined;

  /** @throws {ContextParallelError} `degree` for one that is no whole number of at least 1. */
  constructor({ ulyssesDegree, ringDegree, cfgParallel, allowRowVariant }: ContextParallelOptions = {}) {
    checkDegree("ulyssesDegree", ulyssesDegree);
    checkDegree("ringDegree", ringDegree);
    this.ulyssesDegree = ulyssesDegree;
    this.ringDegree = ringDegree;
    this.cfgParallel = cfgParallel;
    this.allowRowVariant = allowRowVariant;
    Object.freeze(this);
  }
}

/**
 * The degrees of a run: those that `options` say, and for the rest the prompts first (no token is
 * exchanged between them), then heads as far as there are any, then a ring.
 *
 * @throws {ContextParallelError} `worldSize`, `heads`, `guidance`.
 */
export function chooseDegrees(
  options: ContextParallelOptions,
  { worldSize, heads, guided }: ContextParallelSetting,
): ContextParallelDegrees {
  const { ulyssesDegree, ringDegree, cfgParallel } = options;
  if (cfgParallel && guided === false) {
    throw new ContextParallelError("guidance", "cfgParallel", "off without guidance", "on");
  }
  if (cfgParallel && worldSize % 2 !== 0) {
    throw new ContextParallelError(
      "worldSize",
      "cfgParallel",
      `off for ${worldSize} ranks, an odd number`,
      "on",
    );
  }
  if (ulyssesDegree !== undefined && ulyssesDegree > heads) {
    throw new ContextParallelError(
      "heads",
      "ulyssesDegree",
      `at most ${heads}, the number of heads`,
      `${ulyssesDegree}`,
    );
  }
  const tokenRanks = (ulyssesDegree ?? 1) * (ringDegree ?? 1);
  const said = ulyssesDegree !== undefined && ringDegree !== undefined;
  const split =
    cfgParallel ??
    (guided === true && worldSize % (2 * tokenRanks) === 0 && !(said && tokenRanks === worldSize));
  const cfg = split ? 2 : 1;
  const left = worldSize / cfg;
  const mismatch = (): ContextParallelError => {
    const factors = [
      ...(ulyssesDegree === undefined ? [] : [`ulyssesDegree ${ulyssesDegree}`]),
      ...(ringDegree === undefined ? [] : [`ringDegree ${ringDegree}`]),
      ...(cfg === 2 ? ["2 prompts"] : []),
    ];
    const whole = said ? `${tokenRanks * cfg}` : `a multiple of ${tokenRanks * cfg}`;
    return new ContextParallelError(
      "worldSize",
      "the number of ranks",
      `${whole} for ${factors.join(" × ")}`,
      `${worldSize}`,
    );
  };
  if (said) {
    if (tokenRanks !== left) throw mismatch();
    return { cfg, ring: ringDegree, ulysses: ulyssesDegree };
  }
  if (left % tokenRanks !== 0) throw mismatch();
  if (ulyssesDegree !== undefined) return { cfg, ring: left / ulyssesDegree, ulysses: ulyssesDegree };
  const ulysses = ringDegree === undefined ? mostHeads(left, heads) : left / ringDegree;
  if (ulysses > heads) {
    throw new ContextParallelError(
      "heads",
      "ringDegree",
      `at least ${Math.ceil(left / heads)} for ${left} ranks and ${heads} heads`,
      `${ringDegree}`,
    );
  }
  return { cfg, ring: left / ulysses, ulysses };
}

/**
 * How many ranks share out the heads. Where there are heads for all, all do, evenly or not: that
 * changes no byte of the result and moves less than a ring. Otherwise a divisor of the ranks, the
 * largest that divides the heads too.
 */
function mostHeads(ranks: number, heads: number): number {
  if (ranks <= heads) return ranks;
  const degrees = Array.from({ length: heads }, (_, index) => heads - index);
  return degrees.find((degree) => ranks % degree === 0 && heads % degree === 0) ?? 1;
}

function checkDegree(name: string, degree: number | undefined): void {
  if (degree === undefined || (Number.isInteger(degree) && degree >= 1)) return;
  throw new ContextParallelError("degree", name, "a whole number of at least 1", `${degree}`);
}
