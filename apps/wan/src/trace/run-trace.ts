import { writeFileWhole } from "@wan-ts/media";
import { OperationTrace, synchronize } from "@wan-ts/tensor";
import { z } from "zod";
import { appGroup, type RunRanks } from "../ranks/run-ranks.ts";
import { machineName } from "../ranks/share-threads.ts";
import { namesJson, operationSpan, type Span, spanJson, type TraceRow } from "./trace-event.ts";
import { TraceSpool } from "./trace-spool.ts";

/** How often what ran is taken out of memory, in milliseconds. */
const takeEvery = 100;
/** What ranks send at once, so that it never is a whole trace. */
const pieceBytes = 4 << 20;
/** Clocks are read so often together: a process may lose its core between two reads. */
const clockReadings = 8;

const clockReading = z.object({ machine: z.string(), microseconds: z.number() });

/**
 * The trace of a run in Chrome's format: what this process did, then on rank 0 what all did. Events go
 * to the disk several times a second, so memory doesn't grow with the run.
 */
export class RunTrace implements Disposable {
  readonly #ranks: RunRanks;
  readonly #operations = new OperationTrace();
  readonly #spool = new TraceSpool();
  readonly #timer: Timer;
  readonly #began = new Map<string, number>();
  #failure: unknown;
  /** What to add to a time of the operations' clock for the trace's own, which all ranks share. */
  #offset = 0;

  private constructor(ranks: RunRanks) {
    this.#ranks = ranks;
    this.#timer = setInterval(() => {
      try {
        this.#take();
      } catch (error) {
        // Told by whoever asks for the trace: nobody would catch it here.
        this.#failure ??= error;
        clearInterval(this.#timer);
      }
    }, takeEvery);
  }

  /** Starts to record; all ranks together. */
  static async start(ranks: RunRanks): Promise<RunTrace> {
    const trace = new RunTrace(ranks);
    try {
      await trace.#align();
      trace.#append(namesJson(ranks.rank, process.pid));
      return trace;
    } catch (error) {
      trace[Symbol.dispose]();
      throw error;
    }
  }

  /** Something begins that {@link RunTrace.end} tells the end of. */
  begin(name: string): void {
    this.#began.set(name, this.#operations.clock);
  }

  /** What began under `name` has ended. */
  end(name: string, args?: Span["args"]): void {
    const start = this.#began.get(name);
    if (start === undefined) return;
    this.#began.delete(name);
    this.#add("stages", name, start, this.#operations.clock - start, args);
  }

  /** Something that took `seconds` has ended. */
  ended(name: string, seconds: number, args?: Span["args"]): void {
    this.#add("stages", name, this.#operations.clock - seconds * 1e6, seconds * 1e6, args);
  }

  /** Brings what all ranks have recorded to rank 0; all ranks together. */
  async gather(): Promise<void> {
    await synchronize();
    this.#take();
    const sizes = (await this.#ranks.gatherJson(this.#spool.size)).map((size) => z.number().parse(size));
    if (!this.#ranks.isFirst) {
      for (const piece of this.#spool.pieces(pieceBytes)) await this.#ranks.send(piece);
      return;
    }
    for (const [rank, size] of sizes.entries()) {
      if (rank === 0) continue;
      for (let left = size; left > 0; left -= pieceBytes) {
        this.#spool.append(await this.#ranks.receive(rank, Math.min(left, pieceBytes)));
      }
    }
  }

  /**
   * Writes the trace, whole or not at all.
   *
   * @throws {OutputError}
   */
  async write(path: string): Promise<void> {
    await synchronize();
    this.#take();
    await writeFileWhole(path, this.#file());
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#operations[Symbol.dispose]();
    this.#spool[Symbol.dispose]();
  }

  /**
   * Has times count from when all ranks had started. Ranks of a machine have one clock; another
   * machine's begins as its ranks leave the barrier.
   */
  async #align(): Promise<void> {
    await this.#ranks.barrier();
    const reading = { machine: machineName(), microseconds: wallClock() };
    const [first] = (await this.#ranks.gatherJson(reading)).map((each) => clockReading.parse(each));
    const origin = first?.machine === reading.machine ? first.microseconds : reading.microseconds;
    this.#offset = this.#clockOffset() - origin;
  }

  /** The system's clock less that of operations, by the reading that took the least time. */
  #clockOffset(): number {
    let least = Number.POSITIVE_INFINITY;
    let offset = 0;
    for (let reading = 0; reading < clockReadings; reading++) {
      const before = wallClock();
      const { clock } = this.#operations;
      const after = wallClock();
      if (after - before >= least) continue;
      least = after - before;
      offset = (before + after) / 2 - clock;
    }
    return offset;
  }

  #add(row: TraceRow, name: string, start: number, duration: number, args: Span["args"]): void {
    const span = { row, name, start: start + this.#offset, duration, ...(args ? { args } : {}) };
    this.#append([spanJson(this.#ranks.rank, span)]);
  }

  #take(): void {
    if (this.#failure !== undefined) throw this.#failure;
    const events = this.#operations.take().filter(({ traffic }) => traffic?.group !== appGroup);
    this.#append(
      events.map((event) => {
        const span = operationSpan(event);
        return spanJson(this.#ranks.rank, { ...span, start: span.start + this.#offset });
      }),
    );
  }

  #append(events: readonly string[]): void {
    if (events.length > 0)
      this.#spool.append(new TextEncoder().encode(events.map((each) => `,\n${each}`).join("")));
  }

  async *#file(): AsyncGenerator<Uint8Array> {
    const encoder = new TextEncoder();
    yield encoder.encode('{"displayTimeUnit":"ms","traceEvents":[');
    // Every event has a comma before it, whichever rank it is of.
    let isFirst = true;
    for (const piece of this.#spool.pieces(pieceBytes)) {
      yield isFirst ? piece.subarray(1) : piece;
      isFirst = false;
    }
    yield encoder.encode("\n]}\n");
  }
}

/** Microseconds of the system's clock, which the processes of a machine share. */
function wallClock(): number {
  return (performance.timeOrigin + performance.now()) * 1000;
}
