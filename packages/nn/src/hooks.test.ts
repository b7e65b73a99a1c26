import { describe, expect, test } from "bun:test";
import { HookError, HookList } from "./hooks.ts";

const forward = (input: number): number => input * 10;

describe("HookList", () => {
  test("without hooks, the forward pass alone", () => {
    expect(new HookList<number, number>().run(2, forward)).toBe(20);
  });

  test("before hooks run by rising order, after hooks by falling order, whatever the order of adding", () => {
    const seen: string[] = [];
    const hooks = new HookList<number, number>();
    const named = (name: string, order?: number): void => {
      hooks.add({
        name,
        ...(order === undefined ? {} : { order }),
        before: () => void seen.push(`before ${name}`),
        after: () => void seen.push(`after ${name}`),
      });
    };
    named("inner", 5);
    named("outer", -5);
    named("middle");
    named("second middle");
    expect(hooks.names).toEqual(["outer", "middle", "second middle", "inner"]);
    hooks.run(1, forward);
    expect(seen).toEqual([
      "before outer",
      "before middle",
      "before second middle",
      "before inner",
      "after inner",
      "after second middle",
      "after middle",
      "after outer",
    ]);
  });

  test("hooks replace input and output, and after hooks see the input that their before hook left", () => {
    const hooks = new HookList<number, number>();
    hooks.add({ name: "split", before: (input) => input + 1, after: (output, input) => output + input });
    expect(hooks.run(2, forward)).toBe(33);
  });

  test("an around hook runs the pass inside it as often as it likes, between its before and after", () => {
    const hooks = new HookList<number, number>();
    hooks.add({ name: "inner", order: 1, before: (input) => input + 1 });
    hooks.add({
      name: "twice",
      before: (input) => input + 100,
      around: (input, inside) => inside(input) + inside(input + 1),
      after: (output, input) => output + input,
    });
    expect(hooks.run(2, forward)).toBe(1030 + 1040 + 102);
  });

  test("a name can be taken once, and is free again after removal", () => {
    const hooks = new HookList<number, number>();
    const remove = hooks.add({ name: "cache", before: (input) => input + 1 });
    expect(() => hooks.add({ name: "cache" })).toThrow(HookError);
    remove();
    remove();
    expect(hooks.names).toEqual([]);
    expect(hooks.run(2, forward)).toBe(20);
    hooks.add({ name: "cache" });
    expect(hooks.remove("cache")).toBe(true);
    expect(hooks.remove("cache")).toBe(false);
  });

  test("removing one hook leaves another of the same name alone", () => {
    const hooks = new HookList<number, number>();
    const remove = hooks.add({ name: "a" });
    remove();
    hooks.add({ name: "a", before: (input) => input + 1 });
    remove();
    expect(hooks.run(1, forward)).toBe(20);
  });

  test("hooks that come or go during a pass count from the next one", () => {
    const hooks = new HookList<number, number>();
    const remove = hooks.add({
      name: "once",
      before: (input) => {
        remove();
        hooks.add({ name: "late", before: (value) => value + 100 });
        return input + 1;
      },
      after: (output) => output + 5,
    });
    expect(hooks.run(1, forward)).toBe(25);
    expect(hooks.run(1, forward)).toBe(1010);
  });

  test("an error in a hook passes through and leaves the list as it was", () => {
    const hooks = new HookList<number, number>();
    hooks.add({
      name: "fails",
      before: () => {
        throw new Error("no");
      },
    });
    expect(() => hooks.run(1, forward)).toThrow("no");
    expect(hooks.names).toEqual(["fails"]);
  });
});
