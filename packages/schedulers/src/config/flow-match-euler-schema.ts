import { z } from "zod";
import { field } from "./fields.ts";
import type { FlowMatchEulerConfig } from "./scheduler-config.ts";

/** Keys of diffusers' FlowMatchEulerDiscreteScheduler, with its defaults; dynamic shifting's own keys go unread. */
export const flowMatchEulerSchema = z
  .strictObject({
    num_train_timesteps: field.trainTimesteps(),
    shift: field.flowShift(),
    shift_terminal: field.shiftTerminal(),
    use_dynamic_shifting: field.only(false).default(false),
    invert_sigmas: field.only(false).default(false),
    stochastic_sampling: field.only(false).default(false),
    use_karras_sigmas: field.only(false).default(false),
    use_exponential_sigmas: field.only(false).default(false),
    use_beta_sigmas: field.only(false).default(false),
    base_shift: field.unread(),
    max_shift: field.unread(),
    base_image_seq_len: field.unread(),
    max_image_seq_len: field.unread(),
    time_shift_type: field.unread(),
  })
  .transform(
    (json): FlowMatchEulerConfig => ({
      kind: "euler",
      numTrainTimesteps: json.num_train_timesteps,
      flowShift: json.shift,
      shiftTerminal: json.shift_terminal,
    }),
  );

export const FLOW_MATCH_EULER_KEYS: readonly string[] = Object.keys(flowMatchEulerSchema.in.shape);
