import { changeFlowShift } from "./config/change-flow-shift.ts";
import { parseSchedulerConfig } from "./config/parse-scheduler-config.ts";
import { type SchedulerConfig, type SchedulerKind, UNI_PC_DEFAULTS } from "./config/scheduler-config.ts";
import { FlowMatchEulerScheduler } from "./flow-match-euler/flow-match-euler-scheduler.ts";
import type { Scheduler } from "./scheduler.ts";
import { UniPcScheduler } from "./uni-pc/uni-pc-scheduler.ts";

/** What may differ from the checkpoint's own scheduler. */
export interface CreateSchedulerOptions {
  /** Another scheduler than the checkpoint's; it takes over the training timesteps, shift and terminal level. */
  readonly kind?: SchedulerKind;
  /** Another shift of the noise levels. */
  readonly flowShift?: number;
  /** The file that the config was read from, for the error. */
  readonly source?: string;
}

/**
 * The scheduler of a checkpoint, or another in its place.
 *
 * @param json parsed scheduler_config.json
 * @throws SchedulerConfigError
 */
export function createScheduler(json: unknown, options: CreateSchedulerOptions = {}): Scheduler {
  const checkpoint = parseSchedulerConfig(json, options.source);
  const kept = changeKind(checkpoint, options.kind ?? checkpoint.kind);
  const config = options.flowShift === undefined ? kept : changeFlowShift(kept, options.flowShift);
  return config.kind === "unipc" ? new UniPcScheduler(config) : new FlowMatchEulerScheduler(config);
}

function changeKind(config: SchedulerConfig, kind: SchedulerKind): SchedulerConfig {
  if (config.kind === kind) return config;
  const { numTrainTimesteps, flowShift, shiftTerminal } = config;
  return kind === "unipc"
    ? { kind, ...UNI_PC_DEFAULTS, numTrainTimesteps, flowShift, shiftTerminal }
    : { kind, numTrainTimesteps, flowShift, shiftTerminal };
}
