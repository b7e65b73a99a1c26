import { z } from "zod";
import { checkingInput, InputError } from "../input-error.ts";
import type { RunRanks } from "./run-ranks.ts";

/** Bad input that every rank knows of: they end together, and rank 0 tells. */
export class AgreedRefusal extends InputError {}

const refusalSchema = z.string().nullable();

/**
 * Runs what looks at input on every rank, and has all ranks refuse what one refuses: flags are bad on
 * all, but a file may be missing on one machine alone.
 *
 * @throws {AgreedRefusal} on every rank, which names the rank unless all say the same.
 */
export async function checkingInputTogether<T>(ranks: RunRanks, body: () => Promise<T>): Promise<T> {
  let outcome: { readonly value: T } | { readonly refusal: InputError };
  try {
    outcome = { value: await checkingInput(body) };
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    outcome = { refusal: error };
  }
  const own = "refusal" in outcome ? outcome.refusal.message : null;
  const all = (await ranks.gatherJson(own)).map((each) => refusalSchema.parse(each));
  const rank = all.findIndex((refusal) => refusal !== null);
  if ("value" in outcome && rank < 0) return outcome.value;
  const told = all.every((refusal) => refusal === all[0]) ? all[rank] : `rank ${rank}: ${all[rank]}`;
  throw new AgreedRefusal(`${told}`);
}
