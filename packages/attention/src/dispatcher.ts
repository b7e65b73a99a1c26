import type { AttentionBackend, AttentionCall, AttentionRequest, AttentionResult } from "./backend.ts";
import { UnsupportedAttentionError } from "./errors.ts";
import type { AttentionRegistry } from "./registry.ts";

/**
 * Where one model's attention goes. The model's attention modules share it, so that swapping the
 * backend swaps it for that model alone.
 */
export class AttentionDispatcher {
  readonly registry: AttentionRegistry;
  #requests: readonly AttentionRequest[];
  #backend: AttentionBackend;

  /**
   * @param requests what the model will ask for.
   * @param backend a name, or undefined for the registry's first that serves every request.
   * @throws {UnknownBackendError}, {UnsupportedAttentionError}
   */
  constructor(registry: AttentionRegistry, requests: readonly AttentionRequest[], backend?: string) {
    this.registry = registry;
    this.#requests = requests;
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
  }

  /**
   * Has the model ask for more from now on; returns the way back.
   *
   * @throws {UnsupportedAttentionError} where the backend at work can't; all then stays as it was.
   */
  require(more: Partial<AttentionRequest>): () => void {
    const before = this.#requests;
    this.#requests = before.map((request) => ({ ...request, ...more }));
    try {
      this.#checked(this.#backend);
    } catch (error) {
      this.#requests = before;
      throw error;
    }
    return () => {
      this.#requests = before;
    };
  }

  /** Computes one attention with the backend at work. */
  attend(call: AttentionCall): AttentionResult {
    return this.#backend.attend(call);
  }

  #checked(backend: AttentionBackend): AttentionBackend {
    const reasons = this.#requests.flatMap((request) => backend.refusals(request));
    if (reasons.length > 0) throw new UnsupportedAttentionError(new Map([[backend.name, reasons]]));
    return backend;
  }
}
