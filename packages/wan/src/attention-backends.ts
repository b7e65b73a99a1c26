import { AttentionRegistry } from "@wan-ts/attention";
import {
  CudaAttentionBackend,
  CudnnAttentionBackend,
  NativeAttentionBackend,
} from "@wan-ts/attention-native";
import { ReferenceAttentionBackend } from "@wan-ts/attention-reference";

/**
 * A new registry of the backends that come with wan-ts, best first; cuDNN's is last, and for who asks for it by
 * name. Register your own on it and pass it to `fromPretrained`.
 */
export function defaultAttentionRegistry(): AttentionRegistry {
  return new AttentionRegistry([
    new NativeAttentionBackend(),
    new CudaAttentionBackend(),
    new ReferenceAttentionBackend(),
    new CudnnAttentionBackend(),
  ]);
}
