import {
  type AttentionBackend,
  AttentionDispatcher,
  AttentionRegistry,
  type AttentionRequest,
} from "@wan-ts/attention";
import { NativeAttentionBackend } from "@wan-ts/attention-native";
import { ReferenceAttentionBackend } from "@wan-ts/attention-reference";
import { Embedding, type LoadOptions, loadParameters, Module, type ModuleNode } from "@wan-ts/nn";
import { availableInstructionSets, instructionSet, setInstructionSet, Tensor } from "@wan-ts/tensor";
import type { BenchDType } from "./case.ts";
import { checkDistance } from "./check-close.ts";
import { uniformTensor } from "./values.ts";

/** Where a model's attention goes; both backends are there. */
export function benchAttention(requests: readonly AttentionRequest[]): AttentionDispatcher {
  return new AttentionDispatcher(
    new AttentionRegistry([new NativeAttentionBackend(), new ReferenceAttentionBackend()]),
    requests,
  );
}

/**
 * Fills a model with uniform values, scaled so that activations keep their size from layer to layer:
 * by 1/√inputs where a parameter is a matrix or a kernel, around 1 where it is the weight of a norm.
 */
export function fillWithRandom(module: ModuleNode, options: LoadOptions): void {
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
      tensor: (name) => randomParameter(name, parameters.get(name)?.shape ?? []),
    },
    options,
  );
}

function randomParameter(name: string, shape: readonly number[]): Tensor {
  const [outputs = 1, ...inner] = shape;
  const inputs = inner.reduce((product, size) => product * size, 1);
  const seed = Bun.hash.crc32(name) & 0xffff;
  const isMatrix = inputs > 1 && outputs > 1;
  // Uniform values have a standard deviation of 1/√3.
  const scale = isMatrix ? Math.sqrt(3 / inputs) : 0.1;
  using values = uniformTensor(shape, "float32", seed, scale);
  return isMatrix || name.endsWith("bias") ? values.share() : addOne(values);
}

function addOne(values: Tensor): Tensor {
  const data = values.floatsBlocking();
  return Tensor.from(
    data.map((value) => value + 1),
    values.shape,
  );
}

/**
 * Floating-point operations of the products, convolutions and attentions that run in `body`.
 *
 * @param attention the dispatcher that the model was made with.
 */
export function countFlops(module: ModuleNode, attention: AttentionDispatcher, body: () => void): number {
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

/** How far whole models may part in ‖·‖₂, relative: each layer adds a few roundings. */
const allowedDistance: Readonly<Record<BenchDType, number>> = { float32: 1e-4, bfloat16: 0.1 };

/**
 * Compares a model on small inputs with itself on portable kernels and the plain attention of the
 * reference backend: other code for each operation.
 *
 * @throws {BenchmarkError}
 */
export async function checkAgainstPlainKernels(
  attention: AttentionDispatcher,
  dtype: BenchDType,
  compute: () => Tensor,
): Promise<void> {
  const [used, backend] = [instructionSet(), attention.backend];
  using found = compute();
  const values = await found.floats();
  try {
    attention.use("reference");
    setInstructionSet(availableInstructionSets()[0] as string);
    using plain = compute();
    checkDistance(values, await plain.floats(), allowedDistance[dtype], "the whole output on small inputs");
  } finally {
    setInstructionSet(used);
    attention.use(backend);
  }
}
