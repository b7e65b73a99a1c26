import type { AttentionCall, AttentionResult } from "@wan-ts/attention";
import { attentionInPieces, type Device, type KeyPiece, TensorError } from "@wan-ts/tensor";
import { AddonAttentionBackend } from "./addon-backend.ts";

/** Attention by the addon's CPU kernels: online softmax over blocks of keys (Dao et al. 2022). */
export class NativeAttentionBackend extends AddonAttentionBackend {
  override readonly name = "native";
  readonly keysInPieces = true;
  protected override readonly devices = "cpu";

  protected override computesOn(device: Device): boolean {
    return device === "cpu";
  }

  /** @throws {TensorError} `argument` for keys in pieces with a mask. */
  override attend(call: AttentionCall): AttentionResult {
    if (!call.following) return super.attend(call);
    if (call.mask) throw TensorError.argument("attention", "mask", "none for keys in pieces", "one");
    return attentionInPieces(call.query, allPieces(call, call.following), call);
  }
}

function* allPieces({ key, value }: KeyPiece, following: Iterable<KeyPiece>): Iterable<KeyPiece> {
  yield { key, value };
  yield* following;
}
