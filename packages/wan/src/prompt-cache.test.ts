import { afterEach, expect, test } from "bun:test";
import { memory, synchronize, Tensor } from "@wan-ts/tensor";
import { PromptCache, type PromptKey } from "./prompt-cache.ts";

afterEach(async () => {
  await synchronize();
  expect(memory().liveStorages).toBe(0);
});

function key(text: string, changes: Partial<PromptKey> = {}): PromptKey {
  return { text, maxSequenceLength: 512, dtype: "float32", ...changes };
}

function hold(cache: PromptCache, name: PromptKey, value: number): void {
  using embeds = Tensor.full([1], value);
  cache.set(name, embeds);
}

function held(cache: PromptCache, name: PromptKey): number | undefined {
  using embeds = cache.get(name);
  return embeds?.floatsBlocking()[0];
}

test("tells text, length and dtype apart", () => {
  using cache = new PromptCache(8);
  hold(cache, key("a"), 1);
  hold(cache, key("b"), 2);
  hold(cache, key("a", { maxSequenceLength: 256 }), 3);
  hold(cache, key("a", { dtype: "bfloat16" }), 4);
  expect(held(cache, key("a"))).toBe(1);
  expect(held(cache, key("b"))).toBe(2);
  expect(held(cache, key("a", { maxSequenceLength: 256 }))).toBe(3);
  expect(held(cache, key("a", { dtype: "bfloat16" }))).toBe(4);
  expect(held(cache, key("c"))).toBeUndefined();
});

test("lets go of the one used longest ago", () => {
  using cache = new PromptCache(2);
  hold(cache, key("a"), 1);
  hold(cache, key("b"), 2);
  expect(held(cache, key("a"))).toBe(1);
  hold(cache, key("c"), 3);
  expect(cache.size).toBe(2);
  expect(held(cache, key("b"))).toBeUndefined();
  expect(held(cache, key("a"))).toBe(1);
});

test("replaces what it holds under a name", () => {
  using cache = new PromptCache(2);
  hold(cache, key("a"), 1);
  hold(cache, key("a"), 2);
  expect(cache.size).toBe(1);
  expect(held(cache, key("a"))).toBe(2);
});

test("keeps nothing with a capacity of 0, and nothing once cleared", () => {
  using none = new PromptCache(0);
  hold(none, key("a"), 1);
  expect(none.size).toBe(0);
  using cache = new PromptCache(4);
  hold(cache, key("a"), 1);
  cache.clear();
  expect(held(cache, key("a"))).toBeUndefined();
  hold(cache, key("a"), 2);
  expect(held(cache, key("a"))).toBe(2);
});
