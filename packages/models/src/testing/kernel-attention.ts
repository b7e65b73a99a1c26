import {
  type AttentionBackend,
  type AttentionCall,
  AttentionDispatcher,
  AttentionRegistry,
} from "@wan-ts/attention";
import { attention } from "@wan-ts/tensor";

/** A backend by the tensor package's attention, which keeps the shapes of the keys it was asked for. */
export class KernelAttention implements AttentionBackend {
  readonly specificationVersion = 1;
  readonly name: string;
  readonly keyShapes: (readonly number[])[] = [];

  constructor(name = "kernel") {
    this.name = name;
  }

  refusals() {
    return [];
  }

  attend(call: AttentionCall) {
    this.keyShapes.push(call.key.shape);
    return attention(call.query, call.key, call.value, call);
  }
}

/** A dispatcher over one {@link KernelAttention}. */
export function kernelDispatcher(): AttentionDispatcher {
  return new AttentionDispatcher(new AttentionRegistry([new KernelAttention()]), []);
}
