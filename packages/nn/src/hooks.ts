// biome-ignore-start lint/suspicious/noConfusingVoidType: a hook that only looks returns nothing
/** Runs before a forward pass; what it returns, if anything, replaces the input. */
export type BeforeHook<Input> = (input: Input) => Input | void;

/** Runs after a forward pass; what it returns, if anything, replaces the output. */
export type AfterHook<Input, Output> = (output: Output, input: Input) => Output | void;
// biome-ignore-end lint/suspicious/noConfusingVoidType: as above

/**
 * Runs in place of a forward pass: `forward` is the pass with the hooks inside this one, to be called
 * as often as it takes.
 */
export type AroundHook<Input, Output> = (input: Input, forward: (input: Input) => Output) => Output;

/** Hooks under one name. */
export interface HookOptions<Input, Output> {
  readonly name: string;
  /** Lower orders wrap higher ones: before hooks run by rising order, after hooks by falling order. */
  readonly order?: number;
  readonly before?: BeforeHook<Input>;
  /** Runs between `before` and `after`. */
  readonly around?: AroundHook<Input, Output>;
  /** Gets the input as this hook's `before`, and those of hooks around it, left it. */
  readonly after?: AfterHook<Input, Output>;
}

/** A hook name that is taken. */
export class HookError extends Error {
  override readonly name = "HookError";
  readonly code = "hookExists";
  readonly hook: string;

  constructor(hook: string) {
    super(`a hook named "${hook}" is registered on this module already; remove it first`);
    this.hook = hook;
  }
}

/** The hooks of one module, in order. */
export class HookList<Input, Output> {
  #hooks: readonly HookOptions<Input, Output>[] = [];

  /** The names, outermost first. */
  get names(): readonly string[] {
    return this.#hooks.map((hook) => hook.name);
  }

  /**
   * Adds a hook; among equal orders the later one is inside. Returns its removal.
   *
   * @throws {HookError} where the name is taken.
   */
  add(hook: HookOptions<Input, Output>): () => void {
    if (this.#hooks.some((present) => present.name === hook.name)) throw new HookError(hook.name);
    const order = hook.order ?? 0;
    const inside = this.#hooks.findIndex((present) => (present.order ?? 0) > order);
    const at = inside < 0 ? this.#hooks.length : inside;
    this.#hooks = this.#hooks.toSpliced(at, 0, hook);
    return () => {
      this.#hooks = this.#hooks.filter((present) => present !== hook);
    };
  }

  /** Removes a hook by name; returns whether it was there. */
  remove(name: string): boolean {
    const kept = this.#hooks.filter((hook) => hook.name !== name);
    const removed = kept.length < this.#hooks.length;
    this.#hooks = kept;
    return removed;
  }

  /** Runs `forward` inside the hooks that are present when it begins. */
  run(input: Input, forward: (input: Input) => Output): Output {
    const hooks = this.#hooks;
    const pass = (at: number, given: Input): Output => {
      const hook = hooks[at];
      if (hook === undefined) return forward(given);
      const current = hook.before?.(given) ?? given;
      const inside = (inner: Input): Output => pass(at + 1, inner);
      const output = hook.around ? hook.around(current, inside) : inside(current);
      return hook.after?.(output, current) ?? output;
    };
    return pass(0, input);
  }
}
