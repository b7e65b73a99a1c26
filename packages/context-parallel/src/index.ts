export type {
  ContextParallelAttention,
  ContextParallelInput,
  ContextParallelOutput,
  ContextParallelPlan,
} from "@wan-ts/nn";
