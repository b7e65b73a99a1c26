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
    readonly rowInvariant = false,
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
    const error = thrown(() => new AttentionDispatcher(registry, [request], "small"));
    expect(error).toBeInstanceOf(UnsupportedAttentionError);
    expect(error).toMatchObject({
      supporting: ["large"],
      message: "attention is not supported by small: headDim 128 (supported: 1 to 64); it is by large",
    });
  });

  test("refuses a backend asked for that doesn't declare row invariance where that is required", () => {
    const registry = new AttentionRegistry([
      new CountingBackend("variant"),
      new CountingBackend("invariant", 256, true),
    ]);
    const dispatcher = new AttentionDispatcher(registry, [request, request], "variant");
    const error = thrown(() => dispatcher.require({ rowInvariant: true }));
    expect(error).toMatchObject({
      message:
        "attention is not supported by variant: rowInvariant true (supported: not declared); it is by invariant",
    });
    dispatcher.use("invariant");
    const undo = dispatcher.require({ rowInvariant: true });
    expect(() => dispatcher.use("variant")).toThrow("rowInvariant true");
    undo();
    dispatcher.use("variant");
    expect(dispatcher.backend.name).toBe("variant");
    const asked = { ...request, rowInvariant: true };
    expect(() => new AttentionDispatcher(registry, [asked], "variant")).toThrow("rowInvariant true");
  });

  test("refuses keys in pieces where the backend at work doesn't take them", () => {
    const whole = new CountingBackend("whole");
    const pieces = Object.assign(new CountingBackend("pieces"), { keysInPieces: true });
    const dispatcher = new AttentionDispatcher(new AttentionRegistry([whole, pieces]), [request]);
    expect(() => dispatcher.attend({ ...call, following: [] })).toThrow(
      "attention is not supported by whole: keysInPieces true (supported: not declared); it is by pieces",
    );
    expect(whole.calls).toBe(0);
    dispatcher.use("pieces");
    dispatcher.attend({ ...call, following: [] });
    expect(pieces.calls).toBe(1);
  });

  test("takes the first that serves what is required later, where none was asked for, and goes back", () => {
    const [variant, invariant] = [
      new CountingBackend("variant"),
      new CountingBackend("invariant", 256, true),
    ];
    const dispatcher = new AttentionDispatcher(new AttentionRegistry([variant, invariant]), [request]);
    expect(dispatcher.backend).toBe(variant);
    const undo = dispatcher.require({ rowInvariant: true });
    expect(dispatcher.backend).toBe(invariant);
    undo();
    expect(dispatcher.backend).toBe(variant);
    const alone = new AttentionDispatcher(new AttentionRegistry([variant]), [request]);
    expect(() => alone.require({ rowInvariant: true })).toThrow(UnsupportedAttentionError);
    expect(alone.backend).toBe(variant);
    const undoAfterUse = dispatcher.require({ rowInvariant: true });
    dispatcher.use("invariant");
    undoAfterUse();
    expect(dispatcher.backend).toBe(invariant);
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
