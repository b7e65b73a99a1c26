import { describe, expect, test } from "bun:test";
import { add, allFinite, linear } from "./operations/index.ts";
import { Rehearsal } from "./rehearsal.ts";
import { scope } from "./scope.ts";
import { synchronize } from "./stream.ts";
import { Tensor } from "./tensor.ts";

const MiB = 2 ** 20;

describe("a rehearsal", () => {
  test("counts what a program would hold, and computes nothing", async () => {
    using rehearsal = new Rehearsal();
    // A TiB each: nothing is allocated.
    using sum = scope(() => {
      const half = Tensor.zeros([512, MiB, 512]);
      return add(half, half);
    });
    const { allocatedBytes, peakAllocatedBytes, operations } = rehearsal.take();
    expect(sum.shape).toEqual([512, MiB, 512]);
    expect(allocatedBytes).toBe(MiB * MiB);
    expect(peakAllocatedBytes).toBe(2 * MiB * MiB);
    expect(operations.map(({ operation, count }) => [operation, count])).toEqual([
      ["fill", 1],
      ["add", 1],
    ]);
    sum.dispose();
    expect(rehearsal.take()).toMatchObject({ allocatedBytes: 0, operations: [] });
  });

  test("counts equal operations together, and tells operands", () => {
    using rehearsal = new Rehearsal();
    scope(() => {
      const weight = Tensor.zeros([8, 4]);
      for (let index = 0; index < 3; index++) linear(Tensor.zeros([2, 4]), weight);
    });
    const product = rehearsal.take().operations.find(({ operation }) => operation === "linear");
    expect(product).toMatchObject({
      count: 3,
      inputs: [
        { dtype: "float32", shape: [2, 4] },
        { dtype: "float32", shape: [8, 4] },
      ],
      outputs: [{ dtype: "float32", shape: [2, 8] }],
    });
  });

  test("refuses what a computation would refuse", () => {
    using _rehearsal = new Rehearsal();
    expect(() => scope(() => linear(Tensor.zeros([2, 4]), Tensor.zeros([8, 5])))).toThrow(/weight/);
  });

  test("goes on where a value is asked for", async () => {
    using rehearsal = new Rehearsal();
    using tensor = Tensor.zeros([3]);
    expect(await allFinite(tensor)).toBe(true);
    await synchronize();
    expect((await tensor.floats()).every(Number.isFinite)).toBe(true);
    expect(rehearsal.take().allocatedBytes).toBe(12);
  });

  test("is the only one at a time, and leaves no trace", async () => {
    const rehearsal = new Rehearsal();
    expect(() => new Rehearsal()).toThrow(/one at a time/);
    using left = Tensor.zeros([2]);
    rehearsal[Symbol.dispose]();
    rehearsal[Symbol.dispose]();
    expect(() => rehearsal.take()).toThrow(/before it is disposed/);
    const failure: unknown = await left.floats().catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: "argument", found: "of a rehearsal, which computes nothing" });
    using two = scope(() => add(Tensor.full([1], 1), 1));
    expect(await two.floats()).toEqual(Float32Array.of(2));
  });
});
