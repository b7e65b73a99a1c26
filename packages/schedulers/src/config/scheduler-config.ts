/** UniPC multistep for a flow-matching model (diffusers' UniPCMultistepScheduler with use_flow_sigmas). */
export interface UniPcConfig {
  readonly kind: "unipc";
  readonly numTrainTimesteps: number;
  /** Order p of the predictor, 1 to 3; with the corrector the accuracy is of order p + 1. */
  readonly solverOrder: number;
  /** B(h) of the paper: h itself (bh1), or e^h − 1 (bh2). */
  readonly solverType: "bh1" | "bh2";
  /** Lowers the order towards the last step, which has order 1. */
  readonly lowerOrderFinal: boolean;
  /** Steps, counted from 0, whose result the next step doesn't correct. */
  readonly disableCorrector: readonly number[];
  /** Shift s of the noise levels: σ ↦ sσ / (1 + (s − 1)σ). */
  readonly flowShift: number;
  /** Noise level after the last step: none, or that before it. */
  readonly finalSigmasType: "zero" | "sigma_min";
  /** Noise level that the schedule is stretched to end at; null leaves it as it is. */
  readonly shiftTerminal: number | null;
}

/** Euler steps for a flow-matching model (diffusers' FlowMatchEulerDiscreteScheduler). */
export interface FlowMatchEulerConfig {
  readonly kind: "euler";
  readonly numTrainTimesteps: number;
  /** Shift s of the noise levels: σ ↦ sσ / (1 + (s − 1)σ), taken once over the training levels and once more over a run's. */
  readonly flowShift: number;
  /** Noise level that the schedule is stretched to end at; null leaves it as it is. */
  readonly shiftTerminal: number | null;
}

export type SchedulerConfig = UniPcConfig | FlowMatchEulerConfig;

export type SchedulerKind = SchedulerConfig["kind"];

/** What diffusers' UniPC takes for what a Wan config leaves out. */
export const UNI_PC_DEFAULTS = {
  solverOrder: 2,
  solverType: "bh2",
  lowerOrderFinal: true,
  disableCorrector: [],
  finalSigmasType: "zero",
} as const satisfies Partial<UniPcConfig>;
