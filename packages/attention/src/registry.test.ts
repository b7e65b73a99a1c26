import { describe, expect, test } from "bun:test";
import type { AttentionBackend, AttentionCall, AttentionRequest, AttentionResult } from "./backend.ts";
import { AttentionDispatcher } from "./dispatcher.ts";
import { DuplicateBackendError, UnknownBackendError, UnsupportedAttentionError } from "./errors.ts";
import { AttentionRegistry } from "./registry.ts";

/** A backend that serves heads up to a size, and counts its calls. */
class CountingBackend implements AttentionBackend {
  readonly specificationVersion = 1;
  calls = 0;

  constructor(
    readonly name: string,
    readonly largestHeadDim = 256,
  ) {}

  refusals(request: AttentionRequest) {
    if (request.headDim <= this.largestHeadDim) return [];
    return [
      {
        property: "headDim",
        found: `${request.headDim}`,
        supported: `1 to ${this.largestHeadDim}`,
      } as const,
    ];
  }

  attend(call: AttentionCall): AttentionResult {
    this.calls++;
    return { output: call.query };
  }
}

function thrown(body: () => unknown): unknown {
  try {
    body();
  } catch (error) {
    return error;
  }
  throw new Error("nothing was thrown");
}

const request: AttentionRequest = {
  device: "cpu",
  dtype: "float32",
  headDim: 128,
  mask: false,
  logSumExp: false,
};
const call = { query: {}, key: {}, value: {} } as AttentionCall;

describe("AttentionRegistry", () => {
  test("gets what was registered, in order", () => {
    const first = new CountingBackend("native");
    const registry = new AttentionRegistry([first]);
    const second = new CountingBackend("reference");
    registry.register(second);
    expect(registry.names).toEqual(["native", "reference"]);
    expect(registry.get("native")).toBe(first);
    expect(registry.get("reference")).toBe(second);
  });

  test("refuses a name twice, and keeps the first", () => {
    const first = new CountingBackend("native");
    const registry = new AttentionRegistry([first]);
    const error = thrown(() => registry.register(new CountingBackend("native")));
    expect(error).toBeInstanceOf(DuplicateBackendError);
    expect(registry.get("native")).toBe(first);
  });

  test("names what is registered, and the nearest, for an unknown name", () => {
    const registry = new AttentionRegistry([new CountingBackend("native"), new CountingBackend("reference")]);
    const error = thrown(() => registry.get("natvie"));
    expect(error).toBeInstanceOf(UnknownBackendError);
    expect(error).toMatchObject({
      code: "unknownAttentionBackend",
      backend: "natvie",
      known: ["native", "reference"],
      nearest: "native",
      message:
        'there is no attention backend "natvie"; registered: native, reference; did you mean "native"?',
    });
  });

  test("suggests nothing for a name like none", () => {
    const registry = new AttentionRegistry([new CountingBackend("native")]);
    const error = thrown(() => registry.get("flash"));
    expect(error).toMatchObject({
      nearest: undefined,
      message: 'there is no attention backend "flash"; registered: native',
    });
    expect(thrown(() => new AttentionRegistry().get("x"))).toMatchObject({
      message: 'there is no attention backend "x"; registered: none',
    });
  });

  test("chooses the first that serves every request", () => {
    const small = new CountingBackend("small", 64);
    const large = new CountingBackend("large", 512);
    const registry = new AttentionRegistry([small, large]);
    expect(registry.choose([{ ...request, headDim: 64 }])).toBe(small);
    expect(registry.choose([{ ...request, headDim: 64 }, request])).toBe(large);
  });

  test("tells the reasons of each where none serves", () => {
    const registry = new AttentionRegistry([new CountingBackend("small", 64), new CountingBackend("large")]);
    const error = thrown(() => registry.choose([{ ...request, headDim: 384 }]));
    expect(error).toBeInstanceOf(UnsupportedAttentionError);
    expect(error).toMatchObject({
      code: "unsupportedAttention",
      message:
        "attention is not supported by small: headDim 384 (supported: 1 to 64); " +
        "large: headDim 384 (supported: 1 to 256)",
    });
  });
});

describe("AttentionDispatcher", () => {
  test("takes the first backend that serves, or the one asked for", () => {
    const registry = new AttentionRegistry([new CountingBackend("first"), new CountingBackend("second")]);
    expect(new AttentionDispatcher(registry, [request]).backend.name).toBe("first");
    expect(new AttentionDispatcher(registry, [request], "second").backend.name).toBe("second");
    expect(() => new AttentionDispatcher(registry, [request], "third")).toThrow(UnknownBackendError);
  });

  test("refuses a backend that can't serve its requests, and keeps the one before", () => {
    const registry = new AttentionRegistry([new CountingBackend("large"), new CountingBackend("small", 64)]);
    const dispatcher = new AttentionDispatcher(registry, [request]);
    expect(() => dispatcher.use("small")).toThrow(UnsupportedAttentionError);
    expect(() => dispatcher.use("lareg")).toThrow('did you mean "large"?');
    expect(dispatcher.backend.name).toBe("large");
    expect(() => new AttentionDispatcher(registry, [request], "small")).toThrow(UnsupportedAttentionError);
  });

  test("swaps for its own model alone, also to a backend that isn't registered", () => {
    const registered = new CountingBackend("registered");
    const registry = new AttentionRegistry([registered]);
    const one = new AttentionDispatcher(registry, [request]);
    const other = new AttentionDispatcher(registry, [request]);
    const own = new CountingBackend("own");
    one.use(own);
    one.attend(call);
    other.attend(call);
    expect([own.calls, registered.calls]).toEqual([1, 1]);
    expect(registry.names).toEqual(["registered"]);
  });
});
