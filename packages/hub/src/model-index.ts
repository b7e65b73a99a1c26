import { z } from "zod";
import { HubError, type HubProblem } from "./errors.ts";

/** The parts of a Wan pipeline and the folders that hold them. */
export const componentFolders = {
  tokenizer: "tokenizer",
  textEncoder: "text_encoder",
  imageProcessor: "image_processor",
  imageEncoder: "image_encoder",
  transformer: "transformer",
  transformer2: "transformer_2",
  vae: "vae",
  scheduler: "scheduler",
} as const;

/** A part of a Wan pipeline. */
export type ComponentName = keyof typeof componentFolders;

/** The parts, in the order a pipeline uses them. */
export const componentNames = Object.keys(componentFolders) as readonly ComponentName[];

/** The Python class that a part was saved from. */
export interface ComponentClass {
  /** The Python package: `diffusers`, `transformers`. */
  readonly library: string;
  readonly className: string;
}

/** A checked `model_index.json`. */
export interface ModelIndex {
  /** The pipeline's class in diffusers. */
  readonly className: string;
  /** The parts that the model has. */
  readonly components: ReadonlyMap<ComponentName, ComponentClass>;
  /** Share of the training timesteps from which `transformer` denoises, and below it `transformer2`. */
  readonly boundaryRatio: number | null;
  /** Whether each token has a timestep of its own (Wan 2.2 TI2V). */
  readonly expandTimesteps: boolean;
}

/** The classes that each part may be of; parts that aren't here may be of any. */
const knownClasses: Partial<Record<ComponentName, readonly string[]>> = {
  textEncoder: ["UMT5EncoderModel"],
  imageEncoder: ["CLIPVisionModel", "CLIPVisionModelWithProjection", "CLIPModel"],
  transformer: ["WanTransformer3DModel"],
  transformer2: ["WanTransformer3DModel"],
  vae: ["AutoencoderKLWan"],
};

const pairExpected = "[library, class] or [null, null]";
const pair = z
  .tuple([z.string().nullable(), z.string().nullable()], { error: pairExpected })
  .refine(([library, className]) => (library === null) === (className === null), { error: pairExpected });
const ratioExpected = "null or a number from 0 to 1";

const modelIndexSchema = z
  .object(
    {
      _class_name: z.string({ error: "the name of a pipeline class" }),
      boundary_ratio: z
        .number({ error: ratioExpected })
        .min(0, { error: ratioExpected })
        .max(1, { error: ratioExpected })
        .nullable()
        .default(null),
      expand_timesteps: z.boolean({ error: "true or false" }).default(false),
    },
    { error: "a JSON object" },
  )
  .catchall(z.unknown());

/**
 * Checks the content of the `model_index.json` at `path`. Keys of a pipeline that aren't parts, and
 * parts that are `[null, null]`, are left out; a part that no Wan pipeline has is refused.
 *
 * @throws HubError `modelIndex` with every problem
 */
export function parseModelIndex(json: unknown, path: string): ModelIndex {
  const problems: HubProblem[] = [];
  const parsed = modelIndexSchema.safeParse(json);
  for (const issue of parsed.error?.issues ?? []) {
    const subject = issue.path.join(".");
    problems.push({
      subject,
      expected: issue.message,
      found: shown(subject === "" ? json : at(json, subject)),
    });
  }
  const components = new Map<ComponentName, ComponentClass>();
  for (const [key, value] of Object.entries(parsed.data ?? {})) {
    const name = componentNames.find((candidate) => componentFolders[candidate] === key);
    if (name === undefined) {
      if (isForeignComponent(key, value)) {
        const expected = `a part of a Wan pipeline (${Object.values(componentFolders).join(", ")})`;
        problems.push({ subject: key, expected, found: shown(value) });
      }
      continue;
    }
    const result = pair.safeParse(value);
    const [library, className] = result.data ?? [null, null];
    if (!result.success) {
      problems.push({ subject: key, expected: pairExpected, found: shown(value) });
    } else if (library !== null && className !== null) {
      const known = knownClasses[name];
      if (known && !known.includes(className)) {
        problems.push({ subject: key, expected: known.join(" or "), found: className });
      }
      components.set(name, { library, className });
    }
  }
  if (problems.length > 0 || !parsed.success) throw new HubError({ code: "modelIndex", path, problems });
  const {
    _class_name: className,
    boundary_ratio: boundaryRatio,
    expand_timesteps: expandTimesteps,
  } = parsed.data;
  return { className, components, boundaryRatio, expandTimesteps };
}

/** Whether a key names a part that was saved: a pair of names, as diffusers writes them. */
function isForeignComponent(key: string, value: unknown): boolean {
  return (
    !key.startsWith("_") &&
    Array.isArray(value) &&
    value.length === 2 &&
    value.every((item) => typeof item === "string")
  );
}

function at(json: unknown, key: string): unknown {
  return typeof json === "object" && json !== null && Object.hasOwn(json, key)
    ? (json as Record<string, unknown>)[key]
    : undefined;
}

const longestShown = 80;

function shown(value: unknown): string {
  const text: string | undefined = JSON.stringify(value);
  if (text === undefined) return "nothing";
  return text.length > longestShown ? `${text.slice(0, longestShown)}…` : text;
}
