import type { ModuleNode } from "@wan-ts/nn";
import {
  allFinite,
  availableInstructionSets,
  type Device,
  instructionSet,
  setInstructionSet,
  type Tensor,
} from "@wan-ts/tensor";
import { type BenchDType, BenchmarkError } from "./case.ts";
import { checkDistance } from "./check-close.ts";
import type { BenchModel } from "./random-model.ts";

/** How far whole models may part in ‖·‖₂, relative: each layer adds a few roundings. */
const allowedDistance: Readonly<Record<BenchDType, number>> = { float32: 1e-4, bfloat16: 0.1 };

/** What {@link checkModel} compares. */
export interface ModelCheck<M extends ModuleNode> {
  readonly dtype: BenchDType;
  readonly device: Device;
  /** The model that is timed. */
  readonly model: BenchModel<M>;
  /** Makes its like, not necessarily as deep, on a device; it is disposed here. */
  readonly make: (device: Device) => BenchModel<M>;
  /** A pass over small inputs, the same on every device. */
  readonly compute: (module: M, device: Device) => Tensor;
}

/**
 * Checks that an output of the model that is timed is finite, and compares a pass over small inputs with
 * other code for each operation: on the processor the portable kernels and the plain attention of the
 * reference backend, on a CUDA device the processor's kernels.
 *
 * @throws {BenchmarkError}
 */
export async function checkModel<M extends ModuleNode & { dispose(): void }>(
  output: Tensor,
  check: ModelCheck<M>,
): Promise<void> {
  if (!(await allFinite(output))) throw new BenchmarkError(Number.NaN, 0, 0, "the whole output");
  if (check.device === "cpu") await checkAgainstPlainKernels(check);
  else await checkAgainstProcessor(check);
}

async function checkAgainstPlainKernels<M extends ModuleNode>(check: ModelCheck<M>): Promise<void> {
  const { dtype, model, compute } = check;
  const [used, backend] = [instructionSet(), model.attention.backend];
  using found = compute(model.module, "cpu");
  const values = await found.floats();
  try {
    model.attention.use("reference");
    setInstructionSet(availableInstructionSets()[0] as string);
    using plain = compute(model.module, "cpu");
    const expected = await plain.floats();
    checkDistance(values, expected, allowedDistance[dtype], "the whole output on small inputs");
  } finally {
    setInstructionSet(used);
    model.attention.use(backend);
  }
}

async function checkAgainstProcessor<M extends ModuleNode & { dispose(): void }>({
  dtype,
  device,
  make,
  compute,
}: ModelCheck<M>): Promise<void> {
  const valuesOn = async (where: Device): Promise<Float32Array> => {
    const { module } = make(where);
    try {
      using output = compute(module, where);
      return await output.floats();
    } finally {
      module.dispose();
    }
  };
  const [found, expected] = [await valuesOn(device), await valuesOn("cpu")];
  checkDistance(found, expected, allowedDistance[dtype], "the whole output on small inputs");
}
