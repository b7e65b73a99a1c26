import { concatenate, scope, type Tensor } from "@wan-ts/tensor";

/**
 * Elements `start` to `end` along dimension 0, without the others' memory: a view of what is mapped,
 * else a copy.
 */
export function ownRange(whole: Tensor, start: number, end: number): Tensor {
  return scope(() => {
    const view = whole.slice(0, start, end);
    // A view would keep all of the storage; joined with nothing it is copied.
    return view.isMapped ? view : concatenate([view], 0);
  });
}
