/**
 * What a config of the fault tests calls. Configs are programs, and every rank reads its own: so a rank
 * can be made to fail at a moment of its run, without anything for it in the app.
 */
import { existsSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { NativeWeightFile } from "@wan-ts/binding";
import { ProcessGroup } from "@wan-ts/distributed";
import { WanTransformer, WanVae } from "@wan-ts/models";
import { synchronizeBlocking, Tensor } from "@wan-ts/tensor";

/** When a rank fails. */
export type Moment = "loading" | "step" | "collective" | "decoding" | "writing";

/** How: by a signal, by leaving as if all were done, or by not going on. */
export type Fault = "SIGKILL" | "SIGSTOP" | "exit" | "hang";

/** A fault of one rank. */
export interface Sabotage {
  readonly rank: number;
  readonly moment: Moment;
  readonly fault: Fault;
  /** Where ranks leave `pid-N` when they start, and `struck-N` when their time has come. */
  readonly marks: string;
}

/** Longer than any test lasts. */
const foreverMilliseconds = 10 * 60 * 1000;
/** Long enough for a stream that has nothing else to do to begin what was submitted. */
const beginMilliseconds = 2000;
/** Goes through the first pass of the transformer, and some blocks of the second. */
const collectivesBefore = 9;
/** Step 2 begins with this pass, as each step has one for either prompt. */
const passesBefore = 2;

/** Prepares this process, where it is a rank, to fail as `plan` says. */
export async function sabotage(plan: Sabotage): Promise<void> {
  if (process.env.WAN_RANKS_FD === undefined) return;
  const rank = Number(process.env.RANK);
  writeFileSync(join(plan.marks, `pid-${rank}`), `${process.pid}`);
  const strike = (): void => {
    writeFileSync(join(plan.marks, `struck-${rank}`), "");
    if (plan.fault === "exit") process.exit(0);
    if (plan.fault === "hang") Bun.sleepSync(foreverMilliseconds);
    else process.kill(process.pid, plan.fault);
  };
  if (plan.moment === "collective") return inCollective(plan, rank === plan.rank, strike);
  if (rank !== plan.rank) return;
  await beforeMoment(plan.moment, () => {
    // What was submitted before, and with it the notes of where the rank is, has its time to run.
    synchronizeBlocking();
    strike();
  });
}

async function beforeMoment(moment: Exclude<Moment, "collective">, strike: () => void): Promise<void> {
  switch (moment) {
    case "loading":
      return before(NativeWeightFile.prototype, "tensor", 0, strike);
    case "step":
      return before(WanTransformer.prototype, "call", passesBefore, strike);
    case "decoding":
      return before(WanVae.prototype, "streamFrames", 0, strike);
    case "writing": {
      // Each file is flushed before it gets its name.
      await using file = await open(import.meta.path);
      return before(Object.getPrototypeOf(file) as typeof file, "sync", 0, strike);
    }
  }
}

/**
 * The one rank fails while it waits in a collective that the others don't come to; a `hang` is a wait
 * of the others in native code, for one that doesn't come.
 */
function inCollective({ fault, marks }: Sabotage, isCulprit: boolean, strike: () => void): void {
  const reshard = Reflect.get(ProcessGroup.prototype, "reshard");
  let calls = 0;
  ProcessGroup.prototype.reshard = function (this: ProcessGroup, ...args): Tensor[] {
    if (calls++ !== collectivesBefore) return reshard.apply(this, args);
    if (fault === "hang") {
      if (isCulprit) strike();
      writeFileSync(join(marks, `waiting-${process.env.RANK}`), "");
      using sum = this.allReduce(Tensor.zeros([1]));
      sum.dataBlocking();
    }
    if (!isCulprit) Bun.sleepSync(foreverMilliseconds);
    const result = reshard.apply(this, args);
    Bun.sleepSync(beginMilliseconds);
    strike();
    return result;
  };
}

/** Has `act` called before the method of that name, once it was called `skipped` times. */
function before<T extends object>(prototype: T, name: keyof T, skipped: number, act: () => void): void {
  const method = prototype[name] as (...args: unknown[]) => unknown;
  let calls = 0;
  const replacement = function (this: unknown, ...args: unknown[]): unknown {
    if (calls++ === skipped) act();
    return method.apply(this, args);
  };
  Object.defineProperty(prototype, name, { value: replacement, writable: true, configurable: true });
}

/** Whether a mark is there. */
export function isMarked(marks: string, name: string): boolean {
  return existsSync(join(marks, name));
}
