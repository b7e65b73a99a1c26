import {
  joinRanks,
  type ProcessGroup,
  type RankLedgerEntry,
  type Ranks,
  sharedFileVariable,
} from "@wan-ts/distributed";
import { Tensor } from "@wan-ts/tensor";

/** The group that the app itself talks over; its collectives are no part of a run's. */
export const appGroup = "app";
/**
 * How long ranks wait for one that lives and is busy, in seconds: one may read weights from a slow
 * disk while others have them in memory. A rank that doesn't live is told within seconds.
 */
const deadline = 3600;
/** Seconds of silence after which a rank counts as stopped, in place of the transport's own. For tests. */
const stoppedAfterVariable = "WAN_RANK_STOPPED_AFTER";

/** Whether the launcher of `--nproc` has started this process. */
export function hasLauncher(env: Readonly<Record<string, string | undefined>>): boolean {
  return env[sharedFileVariable] !== undefined;
}

/** The ranks of a run: this process alone, or one of several. */
export class RunRanks {
  readonly rank: number;
  readonly size: number;
  /** The connection to the others; undefined where this process is alone. */
  readonly ranks: Ranks | undefined;
  /** Whether `--nproc` has started it: that process sees to what ranks other than 0 write, and to failures. */
  readonly hasLauncher: boolean;
  readonly #group: ProcessGroup | undefined;

  private constructor(ranks: Ranks | undefined, hasLauncher: boolean) {
    this.ranks = ranks;
    this.hasLauncher = hasLauncher;
    this.rank = ranks?.rank ?? 0;
    this.size = ranks?.size ?? 1;
    this.#group = ranks?.world.split(appGroup, [ranks.world.members]);
  }

  /** One process that does the whole work. */
  static alone(): RunRanks {
    return new RunRanks(undefined, false);
  }

  /**
   * Joins the run that this process was started for, and waits for the other ranks. Undefined in a
   * process that nobody started as a rank.
   *
   * @throws {RankEnvironmentError}, {CollectiveError} as `joinRanks` of `@wan-ts/distributed` does.
   */
  static join(env: Readonly<Record<string, string | undefined>>): RunRanks | undefined {
    const stoppedAfter = env[stoppedAfterVariable];
    const ranks = joinRanks({
      env,
      deadline,
      ...(stoppedAfter === undefined ? {} : { stoppedAfter: Number(stoppedAfter) }),
    });
    return ranks && new RunRanks(ranks, hasLauncher(env));
  }

  /** Whether this rank shows progress, and writes files and reports. */
  get isFirst(): boolean {
    return this.rank === 0;
  }

  /**
   * What the groups of the run have completed so far, without what the app itself exchanged and without
   * the making of groups.
   */
  ledger(): readonly RankLedgerEntry[] {
    const entries = this.ranks?.ledger() ?? [];
    return entries.filter(({ group, collective }) => group !== appGroup && collective !== "split");
  }

  /** Resolves once all ranks have come. */
  async barrier(): Promise<void> {
    await this.#group?.barrier();
  }

  /** What each rank gives, by rank; it must be what JSON can say. */
  async gatherJson(value: unknown): Promise<readonly unknown[]> {
    const group = this.#group;
    if (!group) return [value];
    const text = new TextEncoder().encode(JSON.stringify(value));
    using length = Tensor.from([text.length], [1], "int32");
    using lengths = group.allGather(length);
    const sizes = [...(await lengths.data())].map(Number);
    using own = Tensor.fromBytes(text, [text.length], "uint8");
    using all = group.allGather(own, { sizes });
    const bytes = await all.rawBytes();
    let end = 0;
    return sizes.map((size) => {
      const start = end;
      end += size;
      const parsed: unknown = JSON.parse(new TextDecoder().decode(bytes.subarray(start, end)));
      return parsed;
    });
  }

  /** Sends bytes to rank 0, which takes them with {@link RunRanks.receive}. */
  async send(bytes: Uint8Array): Promise<void> {
    using tensor = Tensor.fromBytes(bytes, [bytes.length], "uint8");
    await this.#group?.send(tensor, 0);
  }

  /** The `length` bytes that `rank` sends. */
  async receive(rank: number, length: number): Promise<Uint8Array> {
    if (!this.#group) return new Uint8Array();
    using tensor = this.#group.receive({ shape: [length], dtype: "uint8" }, rank);
    return await tensor.rawBytes();
  }
}
