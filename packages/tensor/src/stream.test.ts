import { afterEach, describe, expect, test } from "bun:test";
import {
  add,
  availableInstructionSets,
  Cancellation,
  instructionSet,
  memory,
  OperationTrace,
  resetPeakMemory,
  scope,
  setInstructionSet,
  setThreads,
  synchronize,
  Tensor,
  TensorError,
  threads,
  traceOperations,
} from "./index.ts";

afterEach(async () => {
  await synchronize();
  expect(memory().liveStorages).toBe(0);
});

/** Some work that takes a while: a chain of additions over a large tensor. */
function chain(start: Tensor, length: number): Tensor {
  return scope(() => {
    let current = start.share();
    for (let step = 0; step < length; step++) current = add(current, 1);
    return current;
  });
}

describe("the stream", () => {
  test("leaves the JavaScript thread free while it computes", async () => {
    using start = Tensor.zeros([1 << 22]);
    let ticks = 0;
    const timer = setInterval(() => ticks++, 1);
    using end = chain(start, 200);
    using first = end.slice(0, 0, 1);
    expect(await first.data()).toEqual(new Float32Array([200]));
    clearInterval(timer);
    expect(ticks).toBeGreaterThan(1);
  });

  test("frees intermediates as it goes", async () => {
    using start = Tensor.zeros([1 << 20]);
    await synchronize();
    resetPeakMemory();
    // Each is let go at once: what a scope holds until it ends, the stream may have computed by then.
    let end = start.share();
    for (let step = 0; step < 100; step++) {
      using previous = end;
      end = add(previous, 1);
    }
    using last = end;
    await synchronize();
    expect(memory().peakBytes).toBeLessThanOrEqual(4 * (4 << 20));
    expect(memory().liveBytes).toBe(2 * (4 << 20));
    expect(last.isDisposed).toBe(false);
  });

  test("an abort cuts work short, and frees it", async () => {
    const controller = new AbortController();
    using cancellation = new Cancellation(controller.signal);
    using start = Tensor.zeros([1 << 22]);
    using end = cancellation.run(() => chain(start, 100_000));
    setTimeout(() => controller.abort(), 5);
    const failure = await end.data().catch((error: unknown) => error);
    expect(TensorError.isInstance(failure) && failure.code).toBe("cancelled");
    expect(() => cancellation.run(() => 1)).toThrow();
    using other = add(start, 2);
    expect((await other.floats())[0]).toBe(2);
  });

  test("threads and instruction sets can be set within what the machine has", () => {
    const before = threads();
    setThreads(3);
    expect(threads()).toBe(3);
    setThreads(before);
    expect(() => setThreads(0)).toThrow(/from 1 to 1024/);
    expect(availableInstructionSets()).toContain(instructionSet());
    expect(() => setInstructionSet("mmx")).toThrow(/one of portable/);
  });

  test("traces what ran, in order", async () => {
    const { result, events } = await traceOperations(() => scope(() => add(Tensor.zeros([4]), 1)));
    using _result = result;
    expect(events.map((event) => event.operation)).toEqual(["fill", "add"]);
    expect(events.every((event) => event.duration >= 0)).toBe(true);
  });

  test("gives a trace away piece by piece", async () => {
    using trace = new OperationTrace();
    const before = trace.clock;
    using zeros = Tensor.zeros([4]);
    await synchronize();
    const [fill, ...others] = trace.take();
    expect(others).toEqual([]);
    expect(fill).toMatchObject({ operation: "fill" });
    expect(fill?.start).toBeGreaterThanOrEqual(before);
    expect(trace.clock).toBeGreaterThanOrEqual(fill?.start ?? Number.POSITIVE_INFINITY);
    using sum = add(zeros, 1);
    await sum.data();
    expect(trace.take().map(({ operation }) => operation)).toEqual(["add"]);
    expect(trace.take()).toEqual([]);
  });
});
