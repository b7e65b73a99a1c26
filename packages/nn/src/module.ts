import { scope, TensorError } from "@wan-ts/tensor";
import { HookList } from "./hooks.ts";
import { Parameter, type ParameterOptions } from "./parameter.ts";

/** The tree of modules and parameters, without types of inputs and outputs. */
export abstract class ModuleNode {
  readonly #children = new Map<string, ModuleNode>();
  readonly #parameters = new Map<string, Parameter>();

  /** Enters a submodule under the name that checkpoints give it. */
  protected child<M extends ModuleNode>(name: string, module: M): M {
    this.#refuseTaken(name);
    this.#children.set(name, module);
    return module;
  }

  /** Enters a parameter under the name that checkpoints give it. */
  protected parameter(name: string, shape: readonly number[], options?: ParameterOptions): Parameter {
    this.#refuseTaken(name);
    const parameter = new Parameter(shape, options);
    this.#parameters.set(name, parameter);
    return parameter;
  }

  /** Parameters by their full names, in order of declaration. */
  *namedParameters(prefix = ""): Generator<[string, Parameter]> {
    for (const [name, parameter] of this.#parameters) yield [prefix + name, parameter];
    for (const [name, child] of this.#children) yield* child.namedParameters(`${prefix}${name}.`);
  }

  /** Parameters of this module, without those of modules below it. */
  get ownParameters(): Iterable<Parameter> {
    return this.#parameters.values();
  }

  /** This module as "" and those below it by their full names, parents first. */
  *namedModules(prefix = ""): Generator<[string, ModuleNode]> {
    yield [prefix, this];
    for (const [name, child] of this.#children)
      yield* child.namedModules(prefix ? `${prefix}.${name}` : name);
  }

  /** Lets go of all parameters. */
  dispose(): void {
    for (const [, parameter] of this.namedParameters()) parameter.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #refuseTaken(name: string): void {
    if (this.#children.has(name) || this.#parameters.has(name)) {
      throw TensorError.argument("module", "name", "new to the module", `"${name}", which it has already`);
    }
  }
}

/**
 * A module: parameters, submodules and a forward pass from one named-arguments object to an output.
 *
 * Tensors made in {@link Module.call} are disposed when it returns, except those it returns, so
 * forward passes are written as plain expressions.
 */
export abstract class Module<Input, Output> extends ModuleNode {
  /** Hooks around {@link Module.forward}; they may come and go at any time. */
  readonly hooks = new HookList<Input, Output>();

  /** The computation itself. Call {@link Module.call}, which runs hooks and frees intermediates. */
  protected abstract forward(input: Input): Output;

  /** Runs hooks and the forward pass. */
  call(input: Input): Output {
    return scope(() => this.hooks.run(input, (current) => this.forward(current)));
  }
}

/** Modules numbered from 0, as torch's `ModuleList` names them. */
export class ModuleList<M extends ModuleNode> extends ModuleNode {
  readonly items: readonly M[];

  constructor(items: readonly M[]) {
    super();
    this.items = items;
    for (const [index, item] of items.entries()) this.child(`${index}`, item);
  }

  [Symbol.iterator](): IterableIterator<M> {
    return this.items[Symbol.iterator]();
  }

  /** How many modules there are. */
  get length(): number {
    return this.items.length;
  }
}
