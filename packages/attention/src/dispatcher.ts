import type { AttentionBackend, AttentionCall, AttentionRequest, AttentionResult } from "./backend.ts";
import { UnsupportedAttentionError } from "./errors.ts";
import { refusalsOf } from "./refusals.ts";
import type { AttentionRegistry } from "./registry.ts";

/**
 * Where one model's attention goes. The model's attention modules share it, so that swapping the
 * backend swaps it for that model alone.
 */
export class AttentionDispatcher {
  readonly registry: AttentionRegistry;
  #requests: readonly AttentionRequest[];
  #backend: AttentionBackend;
  /** Whether somebody asked for the backend at work, rather than for any that can. */
  #isNamed: boolean;

  /**
   * @param requests what the model will ask for.
   * @param backend a name, or undefined for the registry's first that serves every request.
   * @throws {UnknownBackendError}, {UnsupportedAttentionError}
   */
  constructor(registry: AttentionRegistry, requests: readonly AttentionRequest[], backend?: string) {
    this.registry = registry;
    this.#requests = requests;
    this.#isNamed = backend !== undefined;
    this.#backend = backend === undefined ? registry.choose(requests) : this.#checked(registry.get(backend));
  }

  /** The backend at work. */
  get backend(): AttentionBackend {
    return this.#backend;
  }

  /**
   * Swaps the backend, by name or for one that need not be registered.
   *
   * @throws {UnknownBackendError}, {UnsupportedAttentionError}; the backend then stays as it was.
   */
  use(backend: string | AttentionBackend): void {
    this.#backend = this.#checked(typeof backend === "string" ? this.registry.get(backend) : backend);
    this.#isNamed = true;
  }

  /**
   * Has the model ask for more from now on; returns the way back. Where nobody asked for the backend at
   * work, the registry's first that serves what is asked for now takes its place.
   *
   * @throws {UnsupportedAttentionError} where the backend asked for, or none, can; all then stays as it
   * was.
   */
  require(more: Partial<AttentionRequest>): () => void {
    const [requests, backend] = [this.#requests, this.#backend];
    this.#requests = requests.map((request) => ({ ...request, ...more }));
    try {
      this.#backend = this.#isNamed ? this.#checked(backend) : this.registry.choose(this.#requests);
    } catch (error) {
      this.#requests = requests;
      throw error;
    }
    return () => {
      this.#requests = requests;
      if (!this.#isNamed) this.#backend = backend;
    };
  }

  /**
   * Computes one attention with the backend at work.
   *
   * @throws {UnsupportedAttentionError} for keys in pieces where the backend doesn't take them.
   */
  attend(call: AttentionCall): AttentionResult {
    if (call.following && !this.#backend.keysInPieces) {
      const requests = this.#requests.map((request) => ({ ...request, keysInPieces: true }));
      const reasons = refusalsOf(this.#backend, requests);
      throw new UnsupportedAttentionError(
        new Map([[this.#backend.name, reasons]]),
        this.registry.supporting(requests),
      );
    }
    return this.#backend.attend(call);
  }

  #checked(backend: AttentionBackend): AttentionBackend {
    const reasons = refusalsOf(backend, this.#requests);
    if (reasons.length === 0) return backend;
    const supporting = this.registry.supporting(this.#requests);
    throw new UnsupportedAttentionError(new Map([[backend.name, reasons]]), supporting);
  }
}
