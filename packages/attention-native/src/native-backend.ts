import type { Device } from "@wan-ts/tensor";
import { AddonAttentionBackend } from "./addon-backend.ts";

/** Attention by the addon's CPU kernels: online softmax over blocks of keys (Dao et al. 2022). */
export class NativeAttentionBackend extends AddonAttentionBackend {
  override readonly name = "native";
  protected override readonly devices = "cpu";

  protected override computesOn(device: Device): boolean {
    return device === "cpu";
  }
}
