import type {
  AttentionBackend,
  AttentionCall,
  AttentionRefusal,
  AttentionRequest,
  AttentionResult,
} from "@wan-ts/attention";
import { attention, type Device, isFloat } from "@wan-ts/tensor";

/** The longest head that the kernels hold in registers and fast memory. */
const largestHeadDim = 1024;

/** Attention by the addon's kernels for one kind of device, which the tensors' device picks. */
export abstract class AddonAttentionBackend implements AttentionBackend {
  readonly specificationVersion = 1;
  readonly rowInvariant = true;
  abstract readonly name: string;

  /** The devices that the kernels are for, as a refusal names them. */
  protected abstract readonly devices: string;

  protected abstract computesOn(device: Device): boolean;

  refusals(request: AttentionRequest): readonly AttentionRefusal[] {
    const refusals: AttentionRefusal[] = [];
    if (!this.computesOn(request.device)) {
      refusals.push({ property: "device", found: request.device, supported: this.devices });
    }
    if (!isFloat(request.dtype)) {
      refusals.push({ property: "dtype", found: request.dtype, supported: "float32, bfloat16, float16" });
    }
    if (request.headDim < 1 || request.headDim > largestHeadDim) {
      refusals.push({
        property: "headDim",
        found: `${request.headDim}`,
        supported: `1 to ${largestHeadDim}`,
      });
    }
    return refusals;
  }

  attend(call: AttentionCall): AttentionResult {
    return attention(call.query, call.key, call.value, call);
  }
}
