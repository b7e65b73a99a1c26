import { z } from "zod";
import { field } from "./fields.ts";
import { UNI_PC_DEFAULTS, type UniPcConfig } from "./scheduler-config.ts";

/**
 * Keys of diffusers' UniPCMultistepScheduler, with its defaults. What a flow-matching schedule never reads (betas,
 * thresholds, spacing of integer timesteps) may hold anything.
 */
export const uniPcSchema = z
  .strictObject({
    num_train_timesteps: field.trainTimesteps(),
    prediction_type: field.only("flow_prediction"),
    use_flow_sigmas: field.only(true),
    flow_shift: field.flowShift(),
    solver_order: field.wholeNumber(1, 3).default(UNI_PC_DEFAULTS.solverOrder),
    solver_type: field.oneOf("bh1", "bh2").default(UNI_PC_DEFAULTS.solverType),
    lower_order_final: field.boolean().default(UNI_PC_DEFAULTS.lowerOrderFinal),
    disable_corrector: field.steps().default(UNI_PC_DEFAULTS.disableCorrector.slice()),
    final_sigmas_type: field.oneOf("zero", "sigma_min").default(UNI_PC_DEFAULTS.finalSigmasType),
    shift_terminal: field.shiftTerminal(),
    // diffusers raises for predict_x0 = false with flow_prediction.
    predict_x0: field.only(true).default(true),
    solver_p: field.only(null).default(null),
    thresholding: field.only(false).default(false),
    use_karras_sigmas: field.only(false).default(false),
    use_exponential_sigmas: field.only(false).default(false),
    use_beta_sigmas: field.only(false).default(false),
    use_dynamic_shifting: field.only(false).default(false),
    beta_start: field.unread(),
    beta_end: field.unread(),
    beta_schedule: field.unread(),
    trained_betas: field.unread(),
    rescale_betas_zero_snr: field.unread(),
    dynamic_thresholding_ratio: field.unread(),
    sample_max_value: field.unread(),
    timestep_spacing: field.unread(),
    steps_offset: field.unread(),
    time_shift_type: field.unread(),
    sigma_min: field.unread(),
    sigma_max: field.unread(),
  })
  .transform(
    (json): UniPcConfig => ({
      kind: "unipc",
      numTrainTimesteps: json.num_train_timesteps,
      solverOrder: json.solver_order,
      solverType: json.solver_type,
      lowerOrderFinal: json.lower_order_final,
      disableCorrector: json.disable_corrector,
      flowShift: json.flow_shift,
      finalSigmasType: json.final_sigmas_type,
      shiftTerminal: json.shift_terminal,
    }),
  );

export const UNI_PC_KEYS: readonly string[] = Object.keys(uniPcSchema.in.shape);
