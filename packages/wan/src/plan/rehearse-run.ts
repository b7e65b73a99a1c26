import { type AttentionBackend, AttentionRegistry } from "@wan-ts/attention";
import { CudaAttentionBackend, NativeAttentionBackend } from "@wan-ts/attention-native";
import { plannedRanks } from "@wan-ts/distributed";
import type { WanVae } from "@wan-ts/models";
import type { ModuleNode } from "@wan-ts/nn";
import { Rehearsal, type Rehearsed, synchronize, Tensor } from "@wan-ts/tensor";
import { checkGenerateOptions } from "../check-generate-options.ts";
import type { RunSizes } from "../check-options.ts";
import type { WanCheckpoint } from "../checkpoint.ts";
import { loadComponents, type WanComponents } from "../components.ts";
import { decodedPixels } from "../decode-latents.ts";
import type { Stage } from "../events.ts";
import { chooseTask } from "../inputs.ts";
import { type LoadPipelineOptions, loadPipeline } from "../load-pipeline.ts";
import { checkModelAttention } from "../model-attention.ts";
import type { GenerateOptions, ImageToVideoOptions } from "../options.ts";
import type { WeightedModel } from "../weighted-model.ts";

/** A run to plan: how its pipeline is loaded, and what is asked of it. */
export interface RunOptions {
  readonly load?: LoadPipelineOptions;
  readonly generate: GenerateOptions & Partial<ImageToVideoOptions>;
  /** Whether frames are taken in tiles, as `WanVae.enableTiling` has it. */
  readonly vaeTiling?: boolean;
}

/** The models of a pipeline. */
export type PartName = "textEncoder" | "imageEncoder" | "transformer" | "transformer2" | "vae";

/** A model's weights. */
export interface RehearsedPart {
  readonly part: PartName;
  /** Numbers that were trained, whatever they are stored as. */
  readonly parameters: number;
  /** Bytes that are read in place from mapped files. */
  readonly mappedBytes: number;
  /** Bytes that are made on load: cast or quantized. */
  readonly allocatedBytes: number;
  /** Bytes on the CUDA device; 0 where the run computes on the processor. */
  readonly deviceBytes: number;
}

/** A stage, with everything before the first as `load`. */
export interface RehearsedStage {
  readonly stage: "load" | Stage;
  readonly rehearsed: Rehearsed;
}

/** A run, gone through without its values. */
export interface RehearsedRun {
  readonly sizes: RunSizes;
  readonly parts: readonly RehearsedPart[];
  readonly stages: readonly RehearsedStage[];
}

/**
 * Goes through a run by its own code, without values: weights are mapped and not read, nothing is
 * computed. Concerns the whole process, as {@link Rehearsal} does. Attention backends are checked, and then
 * attention is taken to be that of wan-ts's kernels, as a backend of another kind might compute at once.
 *
 * @throws whatever opening, loading and checking the run throws.
 */
export async function rehearseRun(checkpoint: WanCheckpoint, run: RunOptions): Promise<RehearsedRun> {
  const task = run.load?.task ?? chooseTask(checkpoint, run.generate);
  const sizes = checkGenerateOptions(checkpoint, run.generate, task);
  const { transformer } = checkModelAttention(checkpoint, run.load ?? {});
  const attention = registryLike(transformer.backend);
  const load = { ...run.load, task, attention, attentionBackend: undefined };
  using rehearsal = new Rehearsal();
  // On demand, so that each part's weights can be looked at by themselves. What is exchanged counts
  // where the run does it: with models on demand these decode, below.
  const { ranks } = load;
  const apart =
    ranks && !load.cpuOffload && plannedRanks({ rank: ranks.world.index, worldSize: ranks.world.size });
  using components = await loadComponents(checkpoint, {
    ...load,
    ranks: apart || ranks,
    cpuOffload: load.cpuOffload || true,
  });
  const parts: RehearsedPart[] = [];
  for (const [part, model] of modelsOf(components)) parts.push(await rehearsePart(rehearsal, part, model));

  const stages: RehearsedStage[] = [];
  // What happens between two stages counts to the later one.
  const end = (stage: RehearsedStage["stage"]): void => {
    stages.push({ stage, rehearsed: rehearsal.take() });
  };
  using pipeline = await loadPipeline(checkpoint, load);
  if (run.vaeTiling) pipeline.vae.enableTiling();
  // Instead of random numbers, which would take their time.
  using noise = run.generate.latents?.share() ?? Tensor.zeros(latentShape(checkpoint, sizes));
  end("load");
  const options = {
    ...run.generate,
    latents: noise,
    outputType: "latent",
    onStageStart: () => undefined,
    onStageEnd: ({ stage }: { readonly stage: Stage }) => end(stage),
    callbackOnStepEnd: () => undefined,
  } as const;
  // The pipeline is of the kind that the options are for: they are checked above.
  using result = await pipeline.generate(options as typeof options & ImageToVideoOptions);
  noise.dispose();
  if (run.generate.outputType !== "latent") {
    using borrowed = load.cpuOffload ? await components.vae.borrow() : undefined;
    if (run.vaeTiling) borrowed?.module.enableTiling();
    await rehearseDecode(borrowed?.module ?? pipeline.vae, result.latents, sizes.batch);
    end("decode");
  }
  return { sizes, parts, stages };
}

/** The kernels, which a ring hands keys and values round for as it does for `backend`. */
function registryLike({ keysInPieces }: AttentionBackend): AttentionRegistry | undefined {
  if (keysInPieces) return undefined;
  const kernels = [new NativeAttentionBackend(), new CudaAttentionBackend()];
  return new AttentionRegistry(
    kernels.map((backend) => ({
      specificationVersion: 1,
      name: backend.name,
      rowInvariant: backend.rowInvariant,
      refusals: (request) => backend.refusals(request),
      attend: (call) => backend.attend(call),
    })),
  );
}

function latentShape({ vae }: WanCheckpoint, sizes: RunSizes): number[] {
  return [sizes.batch, vae.zDim, sizes.latentFrames, sizes.latentHeight, sizes.latentWidth];
}

function modelsOf(components: WanComponents): (readonly [PartName, WeightedModel<ModuleNode>])[] {
  const { textEncoder, imageEncoder, transformer, transformer2, vae } = components;
  const models = { textEncoder, imageEncoder: imageEncoder?.encoder, transformer, transformer2, vae };
  return Object.entries(models).flatMap(([name, model]) =>
    model ? [[name as PartName, model] as const] : [],
  );
}

async function rehearsePart(
  rehearsal: Rehearsal,
  part: PartName,
  model: WeightedModel<ModuleNode>,
): Promise<RehearsedPart> {
  const before = rehearsal.take();
  using borrowed = await model.borrow();
  const after = rehearsal.take();
  let parameters = 0;
  for (const [, { shape }] of borrowed.module.namedParameters()) {
    parameters += shape.reduce((product, size) => product * size, 1);
  }
  return {
    part,
    parameters,
    mappedBytes: after.inPlaceBytes - before.inPlaceBytes,
    allocatedBytes: after.allocatedBytes - before.allocatedBytes,
    deviceBytes: after.deviceBytes - before.deviceBytes,
  };
}

/** As the pipeline decodes, but for reading the pixels. */
async function rehearseDecode(vae: WanVae, latents: Tensor, batch: number): Promise<void> {
  for (let index = 0; index < batch; index++) {
    using one = latents.slice(0, index, index + 1);
    for await (const pixels of decodedPixels(vae, one, undefined)) {
      using _frames = pixels;
      await synchronize();
    }
  }
}
