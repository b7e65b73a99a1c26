import { NativeLauncher } from "@wan-ts/binding";
import { collectiveErrorFrom, LaunchError, type RankFailure } from "./errors.ts";
import { sharedFileDescriptor, sharedFileVariable } from "./rank-environment.ts";

/** What to start. */
export interface LaunchOptions {
  /** Ranks, from 1 to 256. */
  readonly worldSize: number;
  /** The command line of each rank: a program that calls `joinRanks`. */
  readonly command: readonly string[];
  /** The environment of the ranks beside their own variables; by default the process's. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  /** Shared memory that each rank can give out; only what is used takes memory (16 GiB). */
  readonly arenaBytes?: number;
  /** Called with each rank's process once it is started. */
  readonly onStart?: (rank: number, pid: number) => void;
  /** Gets the lines of all ranks but rank 0, which has this process's own output. */
  readonly onLine?: (rank: number, line: string) => void;
  /** Gets rank 0's lines as well, in place of this process's output. */
  readonly captureRank0?: boolean;
  /** Ends the run. */
  readonly signal?: AbortSignal;
}

/** A run that succeeded. */
export interface LaunchResult {
  readonly seconds: number;
}

/** How often the launcher looks for faults that end no process, such as a stopped rank. */
const lookEvery = 100;
/** How long ranks may take to tell of a failure and end, before they are killed. */
const grace = 1000;
/** How much of a rank's standard error is kept for messages. */
const keptErrorOutput = 16 << 10;

type Child = Bun.Subprocess<"ignore", "inherit" | "pipe", "inherit" | "pipe">;

interface Rank {
  readonly child: Child;
  errorOutput: string;
  /** Its output has been read to its end. */
  read: Promise<unknown>;
}

/**
 * Starts a process for each rank and waits for all of them. The run succeeds when every rank has
 * reported that it is done and ended with status 0. When one fails, the others have
 * a second to tell of it before they are killed, and the error names the one at fault. Ranks end with this process, also when it is killed.
 *
 * @throws {LaunchError} where a rank fails.
 * @throws {CollectiveError} `argument` for sizes out of range.
 * @throws the signal's reason where it is aborted.
 */
export async function launchRanks(options: LaunchOptions): Promise<LaunchResult> {
  options.signal?.throwIfAborted();
  const began = performance.now();
  const launcher = createLauncher(options);
  const ranks: Rank[] = [];
  const stop = Promise.withResolvers<"fault" | "abort">();
  const abort = (): void => stop.resolve("abort");
  options.signal?.addEventListener("abort", abort, { once: true });
  const timer = setInterval(() => {
    if (launcher.fault()) stop.resolve("fault");
  }, lookEvery);
  try {
    for (let rank = 0; rank < options.worldSize; rank++) ranks.push(startRank(options, rank, launcher));
    const allDone = Promise.all(
      ranks.map(async ({ child }, rank) => {
        const status = await child.exited;
        if (status !== 0 || launcher.observe(rank).state !== "done") throw new RankEnded(rank);
      }),
    );
    const outcome = await Promise.race([allDone, stop.promise]).catch((error: unknown) => {
      if (error instanceof RankEnded) return error;
      throw error;
    });
    // Never unhandled: once the race is decided, the killed ranks below fail as well.
    allDone.catch(() => undefined);
    if (outcome === "abort") options.signal?.throwIfAborted();
    if (outcome === "fault" || outcome instanceof RankEnded) {
      const failure = await findFailure(launcher, ranks, outcome);
      throw new LaunchError(failure);
    }
    await Promise.all(ranks.map(({ read }) => read));
    return { seconds: (performance.now() - began) / 1000 };
  } finally {
    clearInterval(timer);
    options.signal?.removeEventListener("abort", abort);
    await killAll(ranks);
    launcher.dispose();
  }
}

/** A rank that ended without success. */
class RankEnded extends Error {
  readonly rank: number;

  constructor(rank: number) {
    super(`rank ${rank} ended`);
    this.rank = rank;
  }
}

function createLauncher(options: LaunchOptions): NativeLauncher {
  try {
    return NativeLauncher.create(options.worldSize, options.arenaBytes);
  } catch (error) {
    throw (error instanceof Error && collectiveErrorFrom(error.message)) || error;
  }
}

function startRank(options: LaunchOptions, rank: number, launcher: NativeLauncher): Rank {
  const output = rank === 0 && !options.captureRank0 ? "inherit" : "pipe";
  const child: Child = Bun.spawn([...options.command], {
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env: {
      ...(options.env ?? process.env),
      RANK: `${rank}`,
      LOCAL_RANK: `${rank}`,
      WORLD_SIZE: `${options.worldSize}`,
      LOCAL_WORLD_SIZE: `${options.worldSize}`,
      [sharedFileVariable]: `${sharedFileDescriptor}`,
    },
    stdio: ["ignore", output, output, launcher.descriptor],
  });
  options.onStart?.(rank, child.pid);
  const started: Rank = { child, errorOutput: "", read: Promise.resolve() };
  const forward = (line: string): void => options.onLine?.(rank, line);
  const readers: Promise<void>[] = [];
  if (child.stdout instanceof ReadableStream) readers.push(readLines(child.stdout, forward));
  if (child.stderr instanceof ReadableStream) {
    readers.push(
      readLines(child.stderr, (line) => {
        started.errorOutput = `${started.errorOutput}${line}\n`.slice(-keptErrorOutput);
        forward(line);
      }),
    );
  }
  started.read = Promise.all(readers);
  return started;
}

async function readLines(stream: ReadableStream<Uint8Array>, take: (line: string) => void): Promise<void> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    const lines = `${rest}${decoder.decode(chunk, { stream: true })}`.split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) take(line);
  }
  if (rest !== "") take(rest);
}

/** Waits for `ends`, and no longer than {@link grace}; a timer left behind would keep this process. */
async function withinGrace(ends: Promise<unknown>): Promise<void> {
  const over = Promise.withResolvers<void>();
  const timer = setTimeout(over.resolve, grace);
  await Promise.race([ends, over.promise]);
  clearTimeout(timer);
}

/** Kills what still runs: SIGKILL, since a stopped process takes no other, and waits for its end. */
async function killAll(ranks: readonly Rank[]): Promise<void> {
  for (const { child } of ranks)
    if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
  await Promise.all(ranks.map(({ child }) => child.exited));
}

/** The rank at fault: the one that the ranks agree on, else the first that ended. */
async function findFailure(
  launcher: NativeLauncher,
  ranks: readonly Rank[],
  outcome: RankEnded | "fault",
): Promise<RankFailure> {
  const fault = launcher.fault();
  const rank = fault?.rank ?? (outcome instanceof RankEnded ? outcome.rank : 0);
  const started = ranks[rank] as Rank;
  const { child } = started;
  const others = ranks.filter((other) => other !== started);
  const stuck = fault?.kind === "stopped" || fault?.kind === "late" ? fault.kind : undefined;
  const silentSeconds = stuck === "stopped" ? (launcher.observe(rank).silentSeconds ?? 0) : undefined;
  const ending = stuck ? others : ranks;
  await withinGrace(Promise.all(ending.map((each) => each.child.exited)));
  // Before its status is read: a rank that ended has one, and what is killed here is no culprit.
  const exitCode = child.exitCode ?? undefined;
  const signal = child.signalCode == null ? undefined : String(child.signalCode);
  await killAll(ranks);
  await started.read;
  const { errorOutput } = started;
  const { whereabouts, failure: reason, state } = launcher.observe(rank);
  const common = { rank, pid: child.pid, whereabouts, silentSeconds, reason, errorOutput };
  if (stuck) return { ...common, kind: stuck, signal: undefined, exitCode: undefined };
  if (fault?.kind === "failed" || state === "failed") {
    return { ...common, kind: "failed", signal: undefined, exitCode };
  }
  const kind = signal !== undefined ? "killed" : exitCode === 0 ? "unfinished" : "exited";
  return { ...common, kind, signal, exitCode };
}
