export { ReferenceAttentionBackend } from "./reference-backend.ts";
