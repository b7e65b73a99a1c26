import { ContextParallelConfig, ContextParallelError, chooseDegrees } from "@wan-ts/context-parallel";
import type { Config } from "../config/schema.ts";
import { InputError } from "../input-error.ts";

/** What a split over ranks goes by. */
export interface ParallelSetting {
  /** Ranks of the run that this process is in; undefined where it is in none. */
  readonly startedRanks: number | undefined;
  /** Of the transformer's self-attention. */
  readonly heads: number;
  readonly guidanceScale: number;
}

/** How a run is split. */
export interface Parallelism {
  /** Ranks that do it together. */
  readonly ranks: number;
  /** How transformers are split over them. */
  readonly degrees: ContextParallelConfig;
}

/**
 * The ranks of a run and how its transformers are split over them: where nothing is said, all in
 * Ulysses, as far as heads allow.
 *
 * @throws {InputError} one line that names the flags and the numbers.
 */
export function chooseParallelism(
  { nproc, ulysses, ring, cfg = false, textEncoder }: NonNullable<Config["parallel"]>,
  { startedRanks, heads, guidanceScale }: ParallelSetting,
): Parallelism {
  const ranks = startedRanks ?? nproc ?? 1;
  if (nproc !== undefined && nproc !== ranks) {
    throw new InputError(
      `--nproc ${nproc}: this process is one of ${ranks} ranks already, which a launcher has started; leave --nproc out`,
    );
  }
  const count = startedRanks === undefined ? "--nproc" : "the number of ranks";
  const guided = guidanceScale > 1;
  if (cfg && !guided) {
    throw new InputError(
      `--cfg-parallel needs --guidance-scale above 1, but it is ${guidanceScale}: there is one prompt to compute with`,
    );
  }
  if (cfg && ranks % 2 !== 0) {
    throw new InputError(`--cfg-parallel needs an even number of ranks, but ${count} is ${ranks}`);
  }
  if (textEncoder && ranks === 1) {
    throw new InputError(`--parallel-text-encoder needs ${count} to be above 1`);
  }
  if (ulysses !== undefined && ulysses > heads) {
    throw new InputError(`--ulysses must be at most ${heads}, the model's heads, but is ${ulysses}`);
  }
  const factors = [
    ...(ulysses === undefined ? [] : [`--ulysses ${ulysses}`]),
    ...(ring === undefined ? [] : [`--ring ${ring}`]),
    ...(cfg ? ["--cfg-parallel 2"] : []),
  ];
  const product = (ulysses ?? 1) * (ring ?? 1) * (cfg ? 2 : 1);
  const whole = ulysses !== undefined && ring !== undefined;
  const fits = whole ? product === ranks : ranks % product === 0;
  if (!fits) {
    const rule = factors.length > 1 || whole ? `${factors.join(" × ")} = ${product}` : factors.join("");
    const wanted = whole ? `${product}` : `a multiple of ${product}`;
    throw new InputError(`${rule} needs ${count} to be ${wanted}, but it is ${ranks}`);
  }
  try {
    const options = { ulyssesDegree: ulysses, ringDegree: ring, cfgParallel: cfg };
    const chosen = chooseDegrees(options, { worldSize: ranks, heads, guided });
    return {
      ranks,
      degrees: new ContextParallelConfig({
        ulyssesDegree: chosen.ulysses,
        ringDegree: chosen.ring,
        cfgParallel: chosen.cfg === 2,
      }),
    };
  } catch (error) {
    if (!ContextParallelError.isInstance(error)) throw error;
    throw new InputError(naming(error.message, count), { cause: error });
  }
}

/** A message of the library with flags in place of options. */
function naming(message: string, count: string): string {
  return message
    .replaceAll("ulyssesDegree", "--ulysses")
    .replaceAll("ringDegree", "--ring")
    .replaceAll("cfgParallel", "--cfg-parallel")
    .replaceAll("the number of ranks", count);
}
