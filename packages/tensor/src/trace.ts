import * as native from "@wan-ts/binding";
import { synchronize } from "./stream.ts";

/** An operation that ran: microseconds from the stream's start, and how many it took. */
export interface TraceEvent {
  readonly operation: string;
  readonly start: number;
  readonly duration: number;
  /** What went to other ranks and came from them, for a collective. */
  readonly traffic?: Traffic;
}

/** Payload bytes of a collective, what a member sends itself apart. */
export interface Traffic {
  /** The label of the process group. */
  readonly group: string;
  readonly bytesSent: number;
  readonly bytesReceived: number;
}

/**
 * Records the operations that run from now on, until disposed. Events take memory until they are
 * taken. Concerns the whole process: there is one recording at a time.
 */
export class OperationTrace implements Disposable {
  constructor() {
    native.startTrace();
  }

  /** What ran since the last call, in order of the ends. */
  take(): TraceEvent[] {
    return native.drainTrace().map(traceEvent);
  }

  /** Microseconds from the stream's start until now, as events count them. */
  get clock(): number {
    return native.traceClock();
  }

  [Symbol.dispose](): void {
    native.takeTrace();
  }
}

/** Runs `body` and returns its result with the operations that ran meanwhile, in order. */
export async function traceOperations<T>(
  body: () => T | Promise<T>,
): Promise<{ result: T; events: TraceEvent[] }> {
  using trace = new OperationTrace();
  const result = await body();
  await synchronize();
  return { result, events: trace.take() };
}

function traceEvent(event: native.NativeTraceEvent): TraceEvent {
  const { operation, start, duration, group, bytesSent = 0, bytesReceived = 0 } = event;
  return group === undefined
    ? { operation, start, duration }
    : { operation, start, duration, traffic: { group, bytesSent, bytesReceived } };
}
