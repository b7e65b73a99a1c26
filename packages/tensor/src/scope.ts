import { TensorError } from "./errors.ts";
import type { Tensor } from "./tensor.ts";

/**
 * The innermost open scope. Scopes nest like calls and close before control returns to the event
 * loop, so this is the top of a call stack rather than state that outlives a call.
 */
let innermost: Set<Tensor> | undefined;

/** Enters `tensor` into the innermost open scope, if there is one. */
export function register(tensor: Tensor): void {
  innermost?.add(tensor);
}

/** Takes a disposed tensor out of the innermost scope, so that long scopes don't grow. */
export function unregister(tensor: Tensor): void {
  innermost?.delete(tensor);
}

/**
 * Runs `body` and disposes every tensor made in it, except those in what it returns: a tensor, or
 * arrays, maps and plain objects of them. Those pass to the enclosing scope, if there is one.
 *
 * `body` is synchronous: operations are only submitted in it, and computed later.
 */
export function scope<T>(body: () => T): T {
  const enclosing = innermost;
  const own = new Set<Tensor>();
  innermost = own;
  try {
    const result = body();
    if (result instanceof Promise) {
      throw TensorError.argument("scope", "body", "synchronous", "a function that returns a promise");
    }
    for (const tensor of tensorsIn(result)) {
      if (own.delete(tensor)) enclosing?.add(tensor);
    }
    return result;
  } finally {
    innermost = enclosing;
    for (const tensor of own) tensor.dispose();
  }
}

/**
 * Takes tensors out of the open scopes: from here on the caller disposes them. For what outlives
 * the call that made it, such as a cache or a parameter.
 */
export function keep<T>(value: T): T {
  for (const tensor of tensorsIn(value)) innermost?.delete(tensor);
  return value;
}

function* tensorsIn(value: unknown, depth = 0): Generator<Tensor> {
  if (typeof value !== "object" || value === null || depth > 8) return;
  if (isTensor(value)) yield value;
  else if (Array.isArray(value)) for (const item of value) yield* tensorsIn(item, depth + 1);
  else if (value instanceof Map) for (const item of value.values()) yield* tensorsIn(item, depth + 1);
  else if (Object.getPrototypeOf(value) === Object.prototype || Object.getPrototypeOf(value) === null) {
    for (const item of Object.values(value)) yield* tensorsIn(item, depth + 1);
  }
}

/** Marks tensors, so that this file needs no import of the class that imports it. */
export const tensorMarker: unique symbol = Symbol.for("wan-ts.Tensor") as never;

function isTensor(value: object): value is Tensor {
  return tensorMarker in value;
}
