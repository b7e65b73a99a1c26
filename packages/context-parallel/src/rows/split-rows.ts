import type { AttentionCall, AttentionResult } from "@wan-ts/attention";
import type { ProcessGroup } from "@wan-ts/distributed";
import type { Module, ModuleNode, RowConvolutionInput, RowPlan, RowRegion } from "@wan-ts/nn";
import { concatenate, type Tensor } from "@wan-ts/tensor";
import { ContextParallelError } from "../errors.ts";
import { Bands, rowDim } from "./bands.ts";
import { checkRowPlan, type PlannedModule } from "./check-row-plan.ts";
import { withHalo } from "./halo.ts";

/** The name of every hook that splits rows over ranks. */
export const rowHookName = "rowsOverRanks";

/** Splitting happens closest to the modules: other hooks see the same, whenever they came. */
const innermost = 1000;
/** Dimension of pixels in attention's (B, S, H, D). */
const pixelDim = 1;

/** The bands of the frames that are going through a region; undefined between passes. */
interface Pass {
  bands: Bands | undefined;
}

/**
 * Splits what `plan` names over the members of `group` by rows: each member computes a band of them, from
 * the top in the group's order, and holds the features of its band alone. Convolutions get the rows next
 * to a band from the neighbours, one exchange each; attention gathers keys and values, and attends for the
 * band's own queries. Inputs are whole on every member, and so are outputs, which are gathered on all: all
 * members go on alike, and give what one without a group would, byte for byte, where attention is
 * computed by a backend that is `rowInvariant`.
 *
 * All members split the same plan, and then run the same passes. A group of one changes nothing.
 *
 * @returns the undo, which leaves the tree as it was. Neither may happen while a video is part of the way
 * through: its features are of bands, or of whole frames.
 * @throws {ContextParallelError} `plan` where it doesn't fit the tree.
 * @throws {HookError} where the modules are split over ranks already.
 */
export function splitRowsOverRanks(root: ModuleNode, plan: RowPlan, group: ProcessGroup): () => void {
  const modules = checkRowPlan(root, plan);
  const removals: (() => void)[] = [];
  const undo = (): void => {
    for (const remove of removals.splice(0).toReversed()) remove();
  };
  if (group.size === 1) return undo;
  try {
    for (const region of plan) {
      for (const removal of splitRegion(modules, region, group)) removals.push(removal);
    }
  } catch (error) {
    undo();
    throw error;
  }
  return undo;
}

/** Adds the hooks of a region; gives each one's removal as soon as it is there. */
function* splitRegion(
  modules: ReadonlyMap<string, PlannedModule>,
  region: RowRegion,
  group: ProcessGroup,
): Generator<() => void, void, void> {
  const pass: Pass = { bands: undefined };
  const hook = { name: rowHookName, order: innermost };
  const moduleOf = <Input, Output>(name: string): Module<Input, Output> =>
    // The plan says what it takes and gives, and names modules that were found.
    modules.get(name) as unknown as Module<Input, Output>;
  yield moduleOf<RegionInput, Tensor>(region.module).hooks.add({
    ...hook,
    around: (given, forward) => computeBand(given, forward, { region, pass, group }),
  });
  for (const convolution of region.convolutions) {
    yield moduleOf<RowConvolutionInput, Tensor>(convolution.module).hooks.add({
      ...hook,
      before: (given) => pass.bands && withHalo(given, convolution, pass.bands, group),
    });
  }
  for (const name of region.attentions) {
    yield moduleOf<AttentionCall, AttentionResult>(name).hooks.add({
      ...hook,
      before: (call) => pass.bands && withAllKeys(call, name, pass.bands, group),
    });
  }
}

interface RegionInput {
  readonly input: Tensor;
}

/** Takes this member's band of the input through a region, and gathers the bands of the output. */
function computeBand(
  given: RegionInput,
  forward: (given: RegionInput) => Tensor,
  { region, pass, group }: { readonly region: RowRegion; readonly pass: Pass; readonly group: ProcessGroup },
): Tensor {
  const { inputRows, outputRows, module } = region;
  const rows = given.input.size(rowDim);
  if (rows === 0 || rows % inputRows !== 0) {
    const expected = `of a multiple of ${inputRows} rows`;
    throw new ContextParallelError("tensor", `the input of ${module}`, expected, `of ${rows}`);
  }
  const bands = new Bands(rows / inputRows, group.size, group.index);
  pass.bands = bands;
  try {
    const output = forward({ ...given, input: bands.take(given.input, rowDim, inputRows) });
    if (output.size(rowDim) !== bands.computed * outputRows) {
      const expected = `of ${bands.computed * outputRows} rows, ${outputRows} for ${inputRows}`;
      const found = `of ${output.size(rowDim)}`;
      throw new ContextParallelError("tensor", `the output of ${module}`, expected, found);
    }
    const sizes = bands.sizes.map((size) => size * outputRows);
    return group.allGather(bands.counted(output, rowDim), { dim: rowDim, sizes });
  } finally {
    pass.bands = undefined;
  }
}

/**
 * Keys and values of all pixels, in one collective; the queries stay those of the band.
 *
 * @throws {ContextParallelError} `tensor` for a mask, which would have to be that of the band.
 */
function withAllKeys(call: AttentionCall, name: string, bands: Bands, group: ProcessGroup): AttentionCall {
  if (call.mask) {
    throw new ContextParallelError(
      "tensor",
      `the mask of ${name}`,
      "absent in attention among rows",
      "there",
    );
  }
  const pixels = bands.unitOf(call.key, pixelDim, `the key of ${name}`);
  const both = concatenate([call.key, call.value], -1); // (B, S of the band, H, 2·D)
  const sizes = bands.sizes.map((size) => size * pixels);
  const gathered = group.allGather(bands.counted(both, pixelDim), { dim: pixelDim, sizes });
  const [key, value] = gathered.chunk(2, -1) as [Tensor, Tensor]; // (B, S, H, D)
  return { ...call, key, value };
}
