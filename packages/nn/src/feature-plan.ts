/** Features of a dimension: `pieces` of `width` neighbours, which stay together. Heads are such pieces. */
export interface Features {
  readonly pieces: number;
  readonly width: number;
}

/** A module of which each rank computes some output features, narrowed along their dimension. */
export interface FeatureSplit {
  /** The module, by its full name or by a pattern in which `*` stands for one part of a name. */
  readonly module: string;
  /** The features of its output that are shared out. */
  readonly output: Features;
  /** Whether the output, one tensor with features last, is gathered; else each rank goes on with its own. */
  readonly gathered: boolean;
  /** The features of its argument `input`, where each rank comes with its own: they are gathered first. */
  readonly input?: Features;
  /**
   * The modules whose forward pass computes that `input`, by a name or a pattern: where ranks share memory,
   * it is made there.
   */
  readonly inputOf?: string;
}

/**
 * Which output features of a model's layers ranks compute each for itself: data that the model states,
 * in the order of its forward pass. A feature is computed from the whole input wherever it is, so the
 * result has the same bytes as on one rank; only gathers are needed, no sums over ranks.
 */
export type FeaturePlan = readonly FeatureSplit[];
