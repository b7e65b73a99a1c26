import type { ProcessGroup } from "@wan-ts/distributed";
import { concatenate, scope, Tensor } from "@wan-ts/tensor";
import { ContextParallelError } from "../errors.ts";
import { startOf } from "../shares.ts";

/**
 * (…, own features) → (…, all features), contiguous: member `m` comes with `sizes[m]`, of which any but
 * all may be 0. One all-gather.
 *
 * @param name the tensor's, for messages.
 * @throws {ContextParallelError} `tensor` where this member comes with something else.
 */
export function gatherFeatures(
  name: string,
  tensor: Tensor,
  sizes: readonly number[],
  group: ProcessGroup,
): Tensor {
  const own = sizes[group.index];
  if (!(tensor instanceof Tensor) || tensor.shape.at(-1) !== own) {
    const found = tensor instanceof Tensor ? `[${tensor.shape}]` : "none";
    throw new ContextParallelError("tensor", name, `a tensor of ${own} features, its last dimension`, found);
  }
  const leading = tensor.shape.slice(0, -1);
  const rows = leading.reduce((product, size) => product * size, 1);
  return scope(() => {
    const counts = sizes.map((size) => size * rows);
    const all = group.allGather(tensor.reshape([tensor.count]), { sizes: counts });
    const parts = sizes.flatMap((size, member) => {
      const start = startOf(counts, member);
      return size > 0 ? [all.slice(0, start, start + size * rows).reshape([...leading, size])] : [];
    });
    return concatenate(parts, -1);
  });
}
