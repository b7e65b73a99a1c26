import type { AttentionBackend, AttentionRefusal, AttentionRequest } from "./backend.ts";
import { DuplicateBackendError, UnknownBackendError, UnsupportedAttentionError } from "./errors.ts";
import { refusalsOf } from "./refusals.ts";

/** The backends that an application offers, in order of preference. */
export class AttentionRegistry {
  readonly #backends = new Map<string, AttentionBackend>();

  constructor(backends: Iterable<AttentionBackend> = []) {
    for (const backend of backends) this.register(backend);
  }

  /**
   * Adds a backend, last in preference.
   *
   * @throws {DuplicateBackendError} where its name is taken.
   */
  register(backend: AttentionBackend): void {
    if (this.#backends.has(backend.name)) throw new DuplicateBackendError(backend.name);
    this.#backends.set(backend.name, backend);
  }

  /** The names, in order of preference. */
  get names(): readonly string[] {
    return [...this.#backends.keys()];
  }

  /**
   * A backend by name.
   *
   * @throws {UnknownBackendError}
   */
  get(name: string): AttentionBackend {
    const backend = this.#backends.get(name);
    if (!backend) throw new UnknownBackendError(name, this.names);
    return backend;
  }

  /** The names of the backends that serve every request, in order of preference. */
  supporting(requests: readonly AttentionRequest[]): readonly string[] {
    return this.names.filter((name) => refusalsOf(this.get(name), requests).length === 0);
  }

  /**
   * The first backend that serves every request.
   *
   * @throws {UnsupportedAttentionError} with the reasons of each where none does.
   */
  choose(requests: readonly AttentionRequest[]): AttentionBackend {
    const refused = new Map<string, readonly AttentionRefusal[]>();
    for (const backend of this.#backends.values()) {
      const reasons = refusalsOf(backend, requests);
      if (reasons.length === 0) return backend;
      refused.set(backend.name, reasons);
    }
    throw new UnsupportedAttentionError(refused);
  }
}
