import type {
  AttentionBackend,
  AttentionCall,
  AttentionRefusal,
  AttentionRequest,
  AttentionResult,
} from "@wan-ts/attention";
import { attention, isFloat } from "@wan-ts/tensor";

/** The longest head that the kernels hold in registers and shared memory. */
const largestHeadDim = 1024;

/**
 * Attention by the addon's CUDA kernels: online softmax over blocks of keys (Dao et al. 2022) on
 * tensor cores; float32 without them, exactly.
 */
export class CudaAttentionBackend implements AttentionBackend {
  readonly specificationVersion = 1;
  readonly name = "cuda";
  readonly rowInvariant = true;

  refusals(request: AttentionRequest): readonly AttentionRefusal[] {
    const refusals: AttentionRefusal[] = [];
    if (request.device === "cpu") {
      refusals.push({ property: "device", found: request.device, supported: "cuda:N" });
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
