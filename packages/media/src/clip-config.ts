import { z } from "zod";
import { PreprocessorConfigError } from "./errors.ts";
import type { ResampleName } from "./resample-filters.ts";

/** Longest side that a config may ask for; CLIP models see 224 to 448 pixels. */
const MAX_SIDE = 4096;

/** PIL's `Image.Resampling` numbers. */
const resampleByNumber: readonly ResampleName[] = [
  "nearest",
  "lanczos",
  "bilinear",
  "bicubic",
  "box",
  "hamming",
];

/** OpenAI's CLIP normalization, transformers' defaults (image_utils.py). */
const CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073] as const;
const CLIP_STANDARD_DEVIATION = [0.26862954, 0.26130258, 0.27577711] as const;

const SIZES = `must be {"shortest_edge": n}, {"height": n, "width": n} or n, with whole numbers from 1 to ${MAX_SIDE}`;
const CROPS = `must be {"height": n, "width": n} or n, with whole numbers from 1 to ${MAX_SIDE}`;

const side = z.int().min(1).max(MAX_SIDE);
const heightAndWidth = z.strictObject({ height: side, width: side });
const shortestEdge = z.strictObject({ shortest_edge: side });
const perChannel = (value: z.ZodNumber) => z.tuple([value, value, value]);

/** A key of transformers that may only say "off": what it turns on is not implemented. */
const off = z
  .union([z.null(), z.literal(false)], {
    error: "must be null or false: what it turns on is not implemented",
  })
  .optional();
/** A key of transformers that changes no pixel. */
const ignored = z.union([z.string(), z.number(), z.boolean(), z.null()]).optional();

/**
 * preprocessor_config.json of a `CLIPImageProcessor`. Absent keys have transformers' defaults, a bare
 * number for a size means what it means there, and an unknown key is refused.
 */
const clipPreprocessorSchema = z.strictObject({
  image_processor_type: z
    .enum(["CLIPImageProcessor", "CLIPImageProcessorFast", "CLIPImageProcessorPil", "CLIPFeatureExtractor"])
    .optional(),
  feature_extractor_type: z.enum(["CLIPImageProcessor", "CLIPFeatureExtractor"]).optional(),
  do_resize: z.boolean().default(true),
  size: z.union([shortestEdge, heightAndWidth, side], { error: SIZES }).default({ shortest_edge: 224 }),
  resample: z
    .int()
    .min(0)
    .max(resampleByNumber.length - 1)
    .default(3),
  do_center_crop: z.boolean().default(true),
  crop_size: z.union([heightAndWidth, side], { error: CROPS }).default({ height: 224, width: 224 }),
  do_rescale: z.boolean().default(true),
  rescale_factor: z
    .number()
    .positive()
    .max(1)
    .default(1 / 255),
  do_normalize: z.boolean().default(true),
  image_mean: perChannel(z.number().min(-255).max(255)).default([...CLIP_MEAN]),
  image_std: perChannel(z.number().positive().max(255)).default([...CLIP_STANDARD_DEVIATION]),
  do_convert_rgb: z.boolean().nullable().default(true),
  do_pad: off,
  pad_size: off,
  use_square_size: off,
  size_divisor: off,
  default_to_square: off,
  data_format: z.union([z.null(), z.literal("channels_first")]).optional(),
  input_data_format: z.null().optional(),
  return_tensors: ignored,
  device: ignored,
  disable_grouping: ignored,
  processor_class: ignored,
  _processor_class: ignored,
  _valid_processor_keys: z.array(z.string()).optional(),
  image_seq_length: ignored,
});

/** How images become the input of a CLIP vision encoder; see {@link parseClipPreprocessorConfig}. */
export interface ClipPreprocessorConfig {
  /** null: the image keeps its size. */
  readonly resize: {
    readonly size: { readonly shortestEdge: number } | { readonly height: number; readonly width: number };
    readonly filter: ResampleName;
  } | null;
  /** null: nothing is cropped. */
  readonly centerCrop: { readonly height: number; readonly width: number } | null;
  /** What levels of 0 to 255 are multiplied by; null: they stay. */
  readonly rescaleFactor: number | null;
  /** null: not normalized. */
  readonly normalize: {
    readonly mean: readonly [number, number, number];
    readonly standardDeviation: readonly [number, number, number];
  } | null;
}

/**
 * Checks the contents of a preprocessor_config.json.
 *
 * @param json the parsed file.
 * @throws {PreprocessorConfigError} with every problem: unknown keys, values out of range, options of
 * transformers that are not implemented and not off.
 */
export function parseClipPreprocessorConfig(json: unknown): ClipPreprocessorConfig {
  const parsed = clipPreprocessorSchema.safeParse(json);
  if (!parsed.success) {
    throw new PreprocessorConfigError(
      parsed.error.issues.map(
        ({ path, message }) => `${path.length > 0 ? `${path.join(".")}: ` : ""}${message}`,
      ),
    );
  }
  const config = parsed.data;
  const { size, crop_size: crop } = config;
  return {
    resize: config.do_resize
      ? {
          size:
            typeof size === "number"
              ? { shortestEdge: size }
              : "shortest_edge" in size
                ? { shortestEdge: size.shortest_edge }
                : size,
          // The schema's bounds are those of the table.
          filter: resampleByNumber[config.resample]!,
        }
      : null,
    centerCrop: config.do_center_crop
      ? typeof crop === "number"
        ? { height: crop, width: crop }
        : crop
      : null,
    rescaleFactor: config.do_rescale ? config.rescale_factor : null,
    normalize: config.do_normalize ? { mean: config.image_mean, standardDeviation: config.image_std } : null,
  };
}
