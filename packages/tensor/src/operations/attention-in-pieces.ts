import * as native from "@wan-ts/binding";
import { callNative, TensorError } from "../errors.ts";
import { Tensor } from "../tensor.ts";
import type { AttentionOptions, AttentionResult } from "./attention.ts";
import { concatenate } from "./movement.ts";

/** Keys and values that follow one another in a sequence: (B, Sk, H, D) each. */
export interface KeyPiece {
  readonly key: Tensor;
  readonly value: Tensor;
}

/**
 * {@link attention} to keys and values that come in pieces, in the order of the sequence: the same bytes
 * as with all of them at once, however they are cut. Without a mask; on processors only.
 *
 * Pieces are taken one ahead: the next is asked for before attention to one is submitted, so that what
 * brings it goes on meanwhile. A piece's tensors may be disposed once the next is asked for.
 *
 * @throws {TensorError} `argument` where there is no piece; `shape`, `dtype` or `device` where one
 * doesn't fit the query.
 */
export function attentionInPieces(
  query: Tensor,
  pieces: Iterable<KeyPiece>,
  options: Omit<AttentionOptions, "mask"> = {},
): AttentionResult {
  const scale = options.scale ?? 1 / Math.sqrt(query.size(-1));
  const block = callNative(() => native.keysOfAttentionBlock(query.dtype));
  const iterator = pieces[Symbol.iterator]();
  const take = (): KeyPiece | undefined => {
    const { done, value } = iterator.next();
    return done ? undefined : { key: value.key.share(), value: value.value.share() };
  };
  let left: KeyPiece | undefined;
  let carried: Tensor | undefined;
  let piece = take();
  if (!piece) throw TensorError.argument("attentionInPieces", "pieces", "at least one", "none");
  try {
    for (;;) {
      const next = take();
      if (!next) break;
      const keys: number = (left?.key.size(1) ?? 0) + piece.key.size(1);
      if (keys >= block) {
        const [sums] = attend(query, left, piece, carried, scale, false, false) as [Tensor];
        carried?.dispose();
        carried = sums;
        const rest = lastOf(piece, keys % block);
        release(left);
        release(piece);
        left = rest;
      } else {
        const both = left ? joined(left, piece) : piece;
        if (left) release(piece);
        release(left);
        left = both;
      }
      piece = next;
    }
    const [output, logSumExp, logSumExpResidue] = attend(
      query,
      left,
      piece,
      carried,
      scale,
      true,
      options.returnLogSumExp ?? false,
    ) as [Tensor, Tensor?, Tensor?];
    return logSumExp && logSumExpResidue ? { output, logSumExp, logSumExpResidue } : { output };
  } finally {
    release(left);
    release(piece);
    carried?.dispose();
    iterator.return?.();
  }
}

function attend(
  query: Tensor,
  left: KeyPiece | undefined,
  piece: KeyPiece,
  carried: Tensor | undefined,
  scale: number,
  isLast: boolean,
  withLogSumExp: boolean,
): Tensor[] {
  const pieces = left && left.key.size(1) > 0 ? [left, piece] : [piece];
  return callNative(() =>
    native.attentionPiece(
      query.native,
      pieces.map(({ key }) => key.native),
      pieces.map(({ value }) => value.native),
      carried?.native,
      scale,
      isLast,
      withLogSumExp,
    ),
  ).map((handle) => new Tensor(handle));
}

function lastOf({ key, value }: KeyPiece, count: number): KeyPiece {
  const cut = (tensor: Tensor): Tensor => tensor.slice(1, tensor.size(1) - count, tensor.size(1));
  return { key: cut(key), value: cut(value) };
}

function joined(first: KeyPiece, second: KeyPiece): KeyPiece {
  return {
    key: concatenate([first.key, second.key], 1),
    value: concatenate([first.value, second.value], 1),
  };
}

function release(piece: KeyPiece | undefined): void {
  piece?.key.dispose();
  piece?.value.dispose();
}
