import { afterEach, describe, expect, test } from "bun:test";
import { add, keep, memory, scope, synchronize, Tensor } from "./index.ts";

afterEach(async () => {
  await synchronize();
  expect(memory().liveStorages).toBe(0);
});

describe("scope", () => {
  test("disposes what was made in it and hands on what it returns", async () => {
    const inner: Tensor[] = [];
    const result = scope(() => {
      const one = Tensor.from([1, 2], [2]);
      const two = add(one, 1);
      inner.push(one, two);
      return { sum: add(two, 10), list: [one.share()], none: undefined };
    });
    expect(inner.every((tensor) => tensor.isDisposed)).toBe(true);
    expect(await result.sum.data()).toEqual(new Float32Array([12, 13]));
    expect(await result.list[0]?.data()).toEqual(new Float32Array([1, 2]));
    result.sum.dispose();
    result.list[0]?.dispose();
  });

  test("nests: a result belongs to the enclosing scope", () => {
    let made: Tensor | undefined;
    scope(() => {
      made = scope(() => Tensor.zeros([1]));
      expect(made.isDisposed).toBe(false);
    });
    expect(made?.isDisposed).toBe(true);
  });

  test("disposes everything when the body throws", () => {
    const made: Tensor[] = [];
    expect(() =>
      scope(() => {
        made.push(Tensor.zeros([1]));
        throw new Error("stop");
      }),
    ).toThrow("stop");
    expect(made[0]?.isDisposed).toBe(true);
  });

  test("keep takes a tensor out of every scope", () => {
    const kept = scope(() => {
      const tensor = keep(Tensor.zeros([1]));
      return () => tensor;
    })();
    expect(kept.isDisposed).toBe(false);
    kept.dispose();
  });

  test("refuses a body that returns a promise", () => {
    expect(() => scope(() => Promise.resolve(1))).toThrow(/synchronous/);
  });
});
