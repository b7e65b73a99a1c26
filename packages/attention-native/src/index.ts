export { NativeAttentionBackend } from "./native-backend.ts";
