import {
  Module,
  type ModuleList,
  type ModuleNode,
  offloadBlocks,
  type Parameter,
  type LoadOptions as ParameterOptions,
  parameterDType,
  type TensorSource,
  type WeightQuantization,
} from "@wan-ts/nn";
import { type Device, type DType, scope } from "@wan-ts/tensor";

/**
 * The blocks of a model that computes on a device while they are held in this machine's memory.
 *
 * Each pass moves every block over the link, so a weight is held in the form that has the fewest bytes.
 * Stored in no more bytes than it is computed in, it stays as it lies in the mapped file and is cast on
 * the device, whose memory is many times faster than the link. Stored in more, it is cast once, here. What
 * is quantized moves as codes and scales.
 */
export class OffloadedBlocks implements Disposable {
  readonly #device: Device;
  readonly #dtypes = new Map<Parameter, DType>();
  /** What the names of the blocks' parameters begin with. */
  readonly #prefix: string;
  readonly #undo: () => void;

  /**
   * @param module the model that has the blocks; hooks move them from now on.
   * @param options how the model's parameters are loaded.
   * @throws {HookError} where the model's blocks are offloaded already.
   */
  constructor(module: ModuleNode, blocks: ModuleList<ModuleNode>, device: Device, options: ParameterOptions) {
    const name = [...module.namedModules()].find(([, node]) => node === blocks)?.[0];
    if (!(module instanceof Module) || name === undefined) {
      throw new TypeError("blocks are offloaded of the model that they are of");
    }
    this.#device = device;
    this.#prefix = `${name}.`;
    for (const [name, parameter] of module.namedParameters()) {
      if (this.#has(name)) this.#dtypes.set(parameter, parameterDType(name, parameter, options));
    }
    this.#undo = offloadBlocks(module, blocks, {
      device,
      dtypeOf: (parameter) => this.#dtypes.get(parameter),
    });
  }

  /** `source` with all but the blocks' tensors on the device. */
  source(source: TensorSource): TensorSource {
    return sourceOn(this.#device, source, (name) => !this.#has(name));
  }

  /** How the parameters are loaded from {@link OffloadedBlocks.source}. */
  options(options: ParameterOptions): ParameterOptions {
    return {
      ...options,
      castLater: (parameter) => this.#dtypes.has(parameter),
      quantization: options.quantization && quantizingOn(this.#device, options.quantization),
    };
  }

  /** Has the blocks compute where their parameters are. */
  [Symbol.dispose](): void {
    this.#undo();
  }

  #has(name: string): boolean {
    return name.startsWith(this.#prefix);
  }
}

/** A checkpoint whose tensors come straight from its files to a device, where `isThere` says so. */
export function sourceOn(
  device: Device,
  source: TensorSource,
  isThere: (name: string) => boolean = () => true,
): TensorSource {
  if (device === "cpu") return source;
  return {
    description: source.description,
    names: () => source.names(),
    entry: (name) => source.entry(name),
    bytes: (name) => source.bytes(name),
    tensor: (name) => {
      if (!isThere(name)) return source.tensor(name);
      using mapped = source.tensor(name);
      return mapped.toDevice(device);
    },
  };
}

/** Quantizes on the device wherever a weight is, so that the codes are those of a model that stays there. */
function quantizingOn(device: Device, quantization: WeightQuantization): WeightQuantization {
  return {
    stored: (name, shape, source) => quantization.stored(name, shape, source),
    quantize: (name, weight) => {
      if (weight.device === device) return quantization.quantize(name, weight);
      return scope(() => {
        using there = quantization.quantize(name, weight.toDevice(device));
        return there?.toDevice(weight.device);
      });
    },
  };
}
