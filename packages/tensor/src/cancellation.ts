import { NativeCancelToken, setCancelToken } from "@wan-ts/binding";

/**
 * Binds operations to an `AbortSignal`: what is submitted inside {@link Cancellation.run} and has
 * not run when the signal aborts is skipped, and the operation under way is cut short. Reading a
 * tensor that depends on it rejects with a `TensorError` of code `cancelled`.
 */
export class Cancellation implements Disposable {
  readonly #token = new NativeCancelToken();
  readonly #signal: AbortSignal | undefined;
  readonly #abort = (): void => this.#token.cancel();

  constructor(signal?: AbortSignal) {
    this.#signal = signal;
    if (signal?.aborted) this.#token.cancel();
    else signal?.addEventListener("abort", this.#abort, { once: true });
  }

  /** Runs `body`, synchronous, with its operations bound to the signal. Calls don't nest. */
  run<T>(body: () => T): T {
    this.#signal?.throwIfAborted();
    setCancelToken(this.#token);
    try {
      return body();
    } finally {
      setCancelToken();
    }
  }

  /** Lets go of the signal. */
  [Symbol.dispose](): void {
    this.#signal?.removeEventListener("abort", this.#abort);
  }
}
