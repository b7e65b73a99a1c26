import type {
  AttentionBackend,
  AttentionCall,
  AttentionRefusal,
  AttentionRequest,
  AttentionResult,
} from "@wan-ts/attention";
import { cudnnAttention, cudnnVersion, TensorError } from "@wan-ts/tensor";

/** Heads that cuDNN computes on every device. */
const largestHeadDim = 128;
const headDimStep = 8;

/**
 * Attention by NVIDIA's cuDNN, where it is installed: version 9.13.1 or above. It isn't `rowInvariant`, as
 * NVIDIA promises nothing of a row among others, and gives no residue of the log-sum-exp.
 */
export class CudnnAttentionBackend implements AttentionBackend {
  readonly specificationVersion = 1;
  readonly name = "cudnn";
  readonly #findVersion: () => string;
  /** Why there is no cuDNN, or the empty string where there is one; looked for when it is first asked for. */
  #missing: string | undefined;

  /** @param findVersion tells the version of the cuDNN at hand, or throws a `TensorError`. */
  constructor(findVersion: () => string = cudnnVersion) {
    this.#findVersion = findVersion;
  }

  refusals(request: AttentionRequest): readonly AttentionRefusal[] {
    const { device, dtype, headDim, mask } = request;
    const refusals: AttentionRefusal[] = [];
    if (device === "cpu") {
      refusals.push({ property: "device", found: device, supported: "cuda:N" });
    } else {
      this.#missing ??= whyMissing(this.#findVersion);
      if (this.#missing !== "") {
        const found = `${device} without cuDNN: ${this.#missing}`;
        refusals.push({ property: "device", found, supported: "cuda:N with cuDNN 9.13.1 or above" });
      }
    }
    if (dtype !== "bfloat16" && dtype !== "float16") {
      refusals.push({ property: "dtype", found: dtype, supported: "bfloat16, float16" });
    }
    if (headDim < 1 || headDim > largestHeadDim || headDim % headDimStep !== 0) {
      const supported = `multiples of ${headDimStep} up to ${largestHeadDim}`;
      refusals.push({ property: "headDim", found: `${headDim}`, supported });
    }
    if (mask) refusals.push({ property: "mask", found: "true", supported: "none" });
    return refusals;
  }

  /** @throws {TensorError} `argument` for a mask; as `cudnnAttention`. */
  attend(call: AttentionCall): AttentionResult {
    if (call.mask) throw TensorError.argument("cudnnAttention", "mask", "none", "one");
    return cudnnAttention(call.query, call.key, call.value, call);
  }
}

function whyMissing(findVersion: () => string): string {
  try {
    findVersion();
    return "";
  } catch (error) {
    if (!TensorError.isInstance(error)) throw error;
    return error.found;
  }
}
