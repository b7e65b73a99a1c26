export type {
  AttentionBackend,
  AttentionCall,
  AttentionRefusal,
  AttentionRequest,
  AttentionResult,
} from "./backend.ts";
export { AttentionDispatcher } from "./dispatcher.ts";
export { DuplicateBackendError, UnknownBackendError, UnsupportedAttentionError } from "./errors.ts";
export { nearestName } from "./nearest-name.ts";
export { AttentionRegistry } from "./registry.ts";
