import { SchedulerConfigError } from "../errors/scheduler-config-error.ts";
import { field } from "./fields.ts";
import type { SchedulerConfig } from "./scheduler-config.ts";

/**
 * The config with another shift of the noise levels.
 *
 * @throws SchedulerConfigError when the shift is out of bounds
 */
export function changeFlowShift<C extends SchedulerConfig>(config: C, flowShift: number): C {
  const result = field.flowShift().safeParse(flowShift);
  if (!result.success) {
    const supported = result.error.issues[0]?.message ?? "a number";
    throw new SchedulerConfigError([{ key: "flow_shift", value: flowShift, supported }]);
  }
  return { ...config, flowShift };
}
