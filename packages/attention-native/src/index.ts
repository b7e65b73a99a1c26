export { CudaAttentionBackend } from "./cuda-backend.ts";
export { NativeAttentionBackend } from "./native-backend.ts";
