export { CudaAttentionBackend } from "./cuda-backend.ts";
export { CudnnAttentionBackend } from "./cudnn-backend.ts";
export { NativeAttentionBackend } from "./native-backend.ts";
