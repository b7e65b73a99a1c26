import { type Device, keep, scope, Tensor } from "@wan-ts/tensor";
import type { AttentionCall } from "../backend.ts";
import type { AttentionSetup } from "./attention-setup.ts";
import { buildMask } from "./build-mask.ts";
import { normalNumbers } from "./normal-numbers.ts";

type Values = Float32Array;
type Role = "query" | "key" | "value";

/** The tensors of one case. */
export interface BuiltInputs {
  readonly call: AttentionCall;
  /** The tensors that those of `call` are views of: nothing in them may change. */
  readonly bases: readonly Tensor[];
}

/** Makes the inputs of a setup on `device`, the same for the same name; the caller disposes them. */
export function buildInputs(name: string, setup: AttentionSetup, device: Device = "cpu"): BuiltInputs {
  return keep(
    scope(() => {
      const numbers = normalNumbers(name);
      const normal = (): number => numbers.next().value;
      const { tensors, bases } = buildProjections(setup, normal, device);
      const mask = setup.mask && buildMask(setup.mask, setup, normal, device);
      const edited = mask && setup.nonFinite?.endsWith("mask") ? spoiled(mask, setup) : mask;
      const call = { ...tensors, mask: edited, scale: setup.scale, returnLogSumExp: setup.logSumExp };
      return { call, bases: [...bases, ...(edited ? [edited] : [])] };
    }),
  );
}

/** Lets go of what {@link buildInputs} made. */
export function disposeInputs({ call, bases }: BuiltInputs): void {
  for (const tensor of [call.query, call.key, call.value, call.mask, ...bases]) tensor?.dispose();
}

function buildProjections(setup: AttentionSetup, normal: () => number, device: Device) {
  const { batch, heads, headDim, layout = "contiguous" } = setup;
  const bases: Tensor[] = [];
  const base = (shape: readonly number[], role: Role): Tensor => {
    const values = drawn(shape, role, setup, normal);
    const tensor = Tensor.from(values, shape, setup.dtype, device);
    bases.push(tensor);
    return tensor;
  };
  if (layout === "fusedProjections") {
    // As a layer that computes all three at once leaves them: (B, S, 3, H, D).
    const fused = base([batch, setup.queries, 3, heads, headDim], "query");
    const tensors = { query: fused.select(2, 0), key: fused.select(2, 1), value: fused.select(2, 2) };
    return { tensors, bases };
  }
  const one = (role: Role): Tensor => {
    const length = role === "query" ? setup.queries : setup.keys;
    const whole = [batch, length, heads, headDim];
    switch (layout) {
      case "contiguous":
        return base(whole, role);
      case "headsFirst":
        return base([batch, heads, length, headDim], role).transpose(1, 2);
      case "slicedSequence":
        return base([batch, length + 5, heads, headDim], role).slice(1, 3, 3 + length);
      case "slicedHeads":
        return base([batch, length, heads + 2, headDim], role).slice(2, 1, 1 + heads);
      case "slicedChannels":
        return base([batch, length, heads, headDim + 3], role).slice(3, 0, headDim);
      case "sharedByBatches":
        return role === "query"
          ? base(whole, role)
          : base([1, length, heads, headDim], role).expand([batch, length, heads, headDim]);
      case "sharedByHeads":
        return role === "query"
          ? base(whole, role)
          : base([batch, length, 1, headDim], role).expand([batch, length, heads, headDim]);
    }
  };
  return { tensors: { query: one("query"), key: one("key"), value: one("value") }, bases };
}

function drawn(shape: readonly number[], role: Role, setup: AttentionSetup, normal: () => number): Values {
  const { spread = 1, offset = 0 } = role === "value" ? {} : setup;
  const values = new Float32Array(shape.reduce((product, size) => product * size, 1));
  for (let index = 0; index < values.length; index++) values[index] = normal() * spread + offset;
  if (setup.nonFinite?.endsWith(role)) values[spoiledIndex(values.length)] = nonFiniteValue(setup);
  return values;
}

/** Somewhere in the middle: in no first or last row, head or channel. */
function spoiledIndex(length: number): number {
  return Math.floor(length * 0.37);
}

function nonFiniteValue({ nonFinite }: AttentionSetup): number {
  if (nonFinite?.startsWith("NaN")) return Number.NaN;
  return nonFinite?.startsWith("+inf") ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY;
}

function spoiled(mask: Tensor, setup: AttentionSetup): Tensor {
  const values = mask.floatsBlocking();
  values[spoiledIndex(values.length)] = nonFiniteValue(setup);
  return Tensor.from(values, mask.shape, "float32", mask.device);
}
