import type { Device } from "@wan-ts/tensor";
import { AddonAttentionBackend } from "./addon-backend.ts";

/**
 * Attention by the addon's CUDA kernels: online softmax over blocks of keys (Dao et al. 2022) on
 * tensor cores; float32 without them, exactly.
 */
export class CudaAttentionBackend extends AddonAttentionBackend {
  override readonly name = "cuda";
  protected override readonly devices = "cuda:N";

  protected override computesOn(device: Device): boolean {
    return device !== "cpu";
  }
}
