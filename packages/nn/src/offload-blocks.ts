import { type Device, type DType, keep, Tensor } from "@wan-ts/tensor";
import { Module, type ModuleList, type ModuleNode } from "./module.ts";
import type { Parameter } from "./parameter.ts";
import type { QuantizedWeight } from "./quantization.ts";

/** How {@link offloadBlocks} moves parameters. */
export interface BlockOffloadOptions {
  /** Where the model computes. */
  readonly device: Device;
  /**
   * The dtype that a parameter is computed in, where it is held in another: it is moved as it is held
   * and cast there when its block's turn comes. By default as it is held.
   */
  readonly dtypeOf?: ((parameter: Parameter) => DType | undefined) | undefined;
}

/** A parameter's values on their way to the device. */
interface Copy {
  readonly parameter: Parameter;
  readonly value: Tensor | QuantizedWeight;
}

/** The name of every hook that moves parameters. */
const hookName = "offload";

/** Only what computes needs parameters: what a hook further out skips isn't moved. */
const innermost = 1000;

/**
 * Has blocks compute on a device while their parameters are held elsewhere: in this machine's memory, or
 * in files mapped into it. A block's parameters are on the device from the moment that the block before
 * it begins, so that they come while that computes, to the block's own end; after a pass of `root` none
 * is. What of a block is called by itself, as keys and values that are made ahead of a run are, has its
 * own parameters there for that call.
 *
 * Parameters are looked at when they are moved: they may be loaded, narrowed and disposed between passes.
 * Returns the way back, to be taken between passes.
 *
 * @param root the model that calls the blocks, one after the other.
 * @throws {HookError} where the blocks are offloaded already; nothing is changed then.
 */
export function offloadBlocks<Input, Output>(
  root: Module<Input, Output>,
  blocks: ModuleList<ModuleNode>,
  options: BlockOffloadOptions,
): () => void {
  const offload = new BlockOffload(options);
  using hooks = new DisposableStack();
  const around = (module: ModuleNode, run: (forward: () => unknown) => unknown): void => {
    if (!(module instanceof Module)) return;
    const hook = (input: unknown, forward: (input: unknown) => unknown): unknown => run(() => forward(input));
    hooks.defer(module.hooks.add({ name: hookName, order: innermost, around: hook }));
  };
  around(root, (forward) => offload.runPass(forward));
  for (const [index, block] of blocks.items.entries()) {
    for (const [name, module] of block.namedModules()) {
      around(
        module,
        name === ""
          ? (forward) => offload.runBlock(block, blocks.items[index + 1], forward)
          : (forward) => offload.runPart(module, forward),
      );
    }
  }
  const added = hooks.move();
  return () => added.dispose();
}

class BlockOffload {
  readonly #options: BlockOffloadOptions;
  /** Parameters that are on the device at the moment. */
  readonly #there = new Set<Parameter>();
  #isPassing = false;
  /** The block that comes after the one at work, on its way. */
  #next: { readonly block: ModuleNode; readonly copies: readonly Copy[] } | undefined;

  constructor(options: BlockOffloadOptions) {
    this.#options = options;
  }

  /** Nothing that is on its way outlives a pass: another one may be cancelled by another signal. */
  runPass(forward: () => unknown): unknown {
    this.#isPassing = true;
    try {
      return forward();
    } finally {
      this.#isPassing = false;
      this.#dropNext();
    }
  }

  runBlock(block: ModuleNode, after: ModuleNode | undefined, forward: () => unknown): unknown {
    using _placed = this.#place(this.#takeNext(block) ?? this.#send(parametersOf(block), false));
    // Behind the casts of this block, and in front of its computation, which it runs beside.
    if (after && this.#isPassing)
      this.#next = { block: after, copies: this.#send(parametersOf(after), true) };
    return forward();
  }

  runPart(module: ModuleNode, forward: () => unknown): unknown {
    const parameters = [...module.ownParameters].filter((parameter) => !this.#there.has(parameter));
    if (parameters.length === 0) return forward();
    using _placed = this.#place(this.#send(parameters, false));
    return forward();
  }

  #takeNext(block: ModuleNode): readonly Copy[] | undefined {
    if (this.#next?.block !== block) {
      this.#dropNext();
      return undefined;
    }
    const { copies } = this.#next;
    this.#next = undefined;
    return copies;
  }

  #dropNext(): void {
    for (const { value } of this.#next?.copies ?? []) value[Symbol.dispose]();
    this.#next = undefined;
  }

  #send(parameters: Iterable<Parameter>, ahead: boolean): Copy[] {
    using unsent = new DisposableStack();
    const copies: Copy[] = [];
    for (const parameter of parameters) {
      const { held } = parameter;
      if (!held) continue;
      copies.push({ parameter, value: unsent.use(keep(held.toDevice(this.#options.device, { ahead }))) });
    }
    unsent.move();
    return copies;
  }

  /** Has parameters hold their copies until the result is disposed. */
  #place(copies: readonly Copy[]): Disposable {
    using unplaced = new DisposableStack();
    for (const { value } of copies) unplaced.use(value);
    using placed = new DisposableStack();
    for (const { parameter, value } of copies) {
      placed.defer(parameter.substitute(this.#inDType(parameter, value)));
      this.#there.add(parameter);
      placed.defer(() => this.#there.delete(parameter));
    }
    unplaced.move();
    return placed.move();
  }

  #inDType(parameter: Parameter, value: Tensor | QuantizedWeight): Tensor | QuantizedWeight {
    const dtype = this.#options.dtypeOf?.(parameter);
    if (!(value instanceof Tensor) || dtype === undefined || value.dtype === dtype) return value;
    using uncast = value;
    return keep(uncast.to(dtype));
  }
}

function* parametersOf(module: ModuleNode): Generator<Parameter> {
  for (const [, parameter] of module.namedParameters()) yield parameter;
}
