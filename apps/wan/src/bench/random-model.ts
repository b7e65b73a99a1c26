import {
  type AttentionBackend,
  AttentionDispatcher,
  AttentionRegistry,
  type AttentionRequest,
} from "@wan-ts/attention";
import { CudaAttentionBackend, NativeAttentionBackend } from "@wan-ts/attention-native";
import { ReferenceAttentionBackend } from "@wan-ts/attention-reference";
import { Embedding, type LoadOptions, loadParameters, Module, type ModuleNode } from "@wan-ts/nn";
import { type Device, Tensor } from "@wan-ts/tensor";
import { uniformRows, uniformTensor } from "./values.ts";

/** A model, and the dispatcher that it was made with. */
export interface BenchModel<M extends ModuleNode> {
  readonly module: M;
  readonly attention: AttentionDispatcher;
}

/** Where a model's attention goes; the device's own backend is there, and the plain one. */
export function benchAttention(requests: readonly AttentionRequest[]): AttentionDispatcher {
  return new AttentionDispatcher(
    new AttentionRegistry([
      new NativeAttentionBackend(),
      new CudaAttentionBackend(),
      new ReferenceAttentionBackend(),
    ]),
    requests,
  );
}

/**
 * Fills a model with uniform values, scaled so that activations keep their size from layer to layer:
 * by 1/√inputs where a parameter is a matrix or a kernel, around 1 where it is the weight of a norm.
 * The same values for the same names on every device.
 */
export function fillWithRandom(module: ModuleNode, options: LoadOptions, device: Device = "cpu"): void {
  const parameters = new Map([...module.namedParameters()]);
  loadParameters(
    module,
    {
      description: "random values",
      names: () => parameters.keys(),
      entry: (name) => {
        const shape = parameters.get(name)?.shape;
        return shape && { dtype: "float32", shape };
      },
      bytes: () => {
        throw new Error("random values have no descriptions");
      },
      tensor: (name) => randomParameter(name, parameters.get(name)?.shape ?? [], device),
    },
    options,
  );
}

function randomParameter(name: string, shape: readonly number[], device: Device): Tensor {
  const [outputs = 1, ...inner] = shape;
  const inputs = inner.reduce((product, size) => product * size, 1);
  const seed = Bun.hash.crc32(name) & 0xffff;
  // Uniform values have a standard deviation of 1/√3.
  if (inputs > 1 && outputs > 1) {
    return uniformRows(shape, "float32", seed, { scale: Math.sqrt(3 / inputs), device });
  }
  using values = uniformTensor(shape, "float32", seed, { scale: 0.1 });
  const middle = name.endsWith("bias") ? 0 : 1;
  const data = values.floatsBlocking().map((value) => value + middle);
  return Tensor.from(data, shape, "float32", device);
}

/** Floating-point operations of the products, convolutions and attentions that run in `body`. */
export function countFlops({ module, attention }: BenchModel<ModuleNode>, body: () => void): number {
  let flops = 0;
  using removals = new DisposableStack();
  for (const [, node] of module.namedModules()) {
    if (!(node instanceof Module) || node instanceof Embedding) continue;
    const weight = ownWeight(node);
    if (!weight || weight.length < 2) continue;
    const inputs = weight.slice(1).reduce((product, size) => product * size, 1);
    const remove = node.hooks.add({
      name: "count flops",
      after: (output: unknown) => {
        flops += 2 * (output as Tensor).count * inputs;
      },
    });
    removals.defer(remove);
  }
  const counted = attention.backend;
  const counting: AttentionBackend = {
    specificationVersion: 1,
    name: counted.name,
    refusals: (request) => counted.refusals(request),
    attend(call) {
      const [batch = 1, queries = 1, heads = 1, headDim = 1] = call.query.shape;
      flops += 4 * batch * queries * call.key.size(1) * heads * headDim;
      return counted.attend(call);
    },
  };
  attention.use(counting);
  try {
    body();
  } finally {
    attention.use(counted);
  }
  return flops;
}

/** The shape of a module's own parameter called weight. */
function ownWeight(node: ModuleNode): readonly number[] | undefined {
  for (const [name, parameter] of node.namedParameters()) if (name === "weight") return parameter.shape;
  return undefined;
}
