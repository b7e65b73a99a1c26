import { z } from "zod";

/** Largest shift of noise levels taken; Wan's own are 1 to 16. Beyond, the levels of a run crowd into float32 ties. */
export const MAX_FLOW_SHIFT = 1000;
const MIN_FLOW_SHIFT = 0.001;
const MAX_TRAIN_TIMESTEPS = 100_000;

/**
 * Fields of scheduler configs. The error text of each is what it supports, so that a refusal can quote it.
 */
export const field = {
  /** Only this value; it is also the default, as in diffusers. */
  only: <const V extends string | number | boolean | null>(value: V) =>
    z.literal(value, { error: JSON.stringify(value) }),

  oneOf: <const V extends readonly [string, ...string[]]>(...values: V) =>
    z.enum(values, { error: values.map((value) => JSON.stringify(value)).join(" or ") }),

  boolean: () => z.boolean({ error: "true or false" }),

  number: (minimum: number, maximum: number) => {
    const error = `a number from ${minimum} to ${maximum}`;
    return z.number({ error }).min(minimum, { error }).max(maximum, { error });
  },

  wholeNumber: (minimum: number, maximum: number) => {
    const error = `a whole number from ${minimum} to ${maximum}`;
    return z.number({ error }).int({ error }).min(minimum, { error }).max(maximum, { error });
  },

  /** A list of steps counted from 0. */
  steps: () => {
    const error = `a list of at most ${MAX_TRAIN_TIMESTEPS} steps, whole numbers from 0`;
    const step = z.number({ error }).int({ error }).min(0, { error });
    return z.array(step, { error }).max(MAX_TRAIN_TIMESTEPS, { error });
  },

  trainTimesteps: () => field.wholeNumber(1, MAX_TRAIN_TIMESTEPS).default(1000),

  flowShift: () => field.number(MIN_FLOW_SHIFT, MAX_FLOW_SHIFT).default(1),

  /** diffusers tests it for truth, so that 0 means none. */
  shiftTerminal: () => {
    const error = "null, or a number from 0 to below 1";
    return z
      .number({ error })
      .min(0, { error })
      .lt(1, { error })
      .nullable()
      .default(null)
      .transform((terminal) => (terminal === 0 ? null : terminal));
  },

  /** A key that only matters together with an option refused elsewhere in the schema. */
  unread: () => z.unknown().optional(),
};
