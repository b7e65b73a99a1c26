import { join } from "node:path";
import { type ComponentWeights, findWeights, noWeights } from "./component-weights.ts";
import { HubError } from "./errors.ts";
import { findInRoot, kindOf, type ModelRoot, openRoot, readJsonFile } from "./file-system.ts";
import {
  type ComponentClass,
  type ComponentName,
  componentFolders,
  componentNames,
  type ModelIndex,
  parseModelIndex,
} from "./model-index.ts";

/** Configs are a few kB; this bounds what is parsed. */
const maxConfigBytes = 1024 * 1024;
const variantPattern = /^[A-Za-z0-9_-]+$/;

const configNames: Readonly<Record<ComponentName, string>> = {
  tokenizer: "tokenizer_config.json",
  textEncoder: "config.json",
  imageProcessor: "preprocessor_config.json",
  imageEncoder: "config.json",
  transformer: "config.json",
  transformer2: "config.json",
  vae: "config.json",
  scheduler: "scheduler_config.json",
};

/** A JSON file of a model: its path, to name it in errors, and its content, yet to be checked. */
export interface JsonFile {
  readonly file: string;
  readonly json: unknown;
}

/** One part of a model: a folder of a {@link ModelDirectory}. */
export class ModelComponent {
  readonly name: ComponentName;
  /** The Python package that the part was saved by. */
  readonly library: string;
  /** The Python class that it was saved from. */
  readonly className: string;
  readonly #root: ModelRoot;
  readonly #variant: string | undefined;

  /** @internal Use {@link openModelDirectory}. */
  constructor(root: ModelRoot, name: ComponentName, saved: ComponentClass, variant: string | undefined) {
    this.name = name;
    this.library = saved.library;
    this.className = saved.className;
    this.#root = root;
    this.#variant = variant;
  }

  /** Its folder. */
  get folder(): string {
    return join(this.#root.path, componentFolders[this.name]);
  }

  /**
   * Its config, of at most 1 MiB: `config.json`, or what its kind of part calls it
   * (`scheduler_config.json`, `preprocessor_config.json`, `tokenizer_config.json`).
   *
   * @throws HubError `missingFile`, `fileTooLarge`, `invalidJson`, `outsideModel`, `unreadable`
   */
  async config(): Promise<JsonFile> {
    const file = await this.file(configNames[this.name]);
    return { file, json: await readJsonFile(file, maxConfigBytes) };
  }

  /**
   * The path of its file called `name`, such as `tokenizer.json`.
   *
   * @throws HubError `missingFile`, `outsideModel`, `unreadable`
   */
  async file(name: string): Promise<string> {
    const path = await findInRoot(this.#root, `${componentFolders[this.name]}/${name}`);
    if (path !== undefined && (await kindOf(path)) === "file") return path;
    throw new HubError({
      code: "missingFile",
      path: join(this.folder, name),
      problems: [{ subject: "", expected: "a file", found: path === undefined ? "nothing" : "a directory" }],
      remedy: "Download the model again",
    });
  }

  /**
   * Its safetensors files: those of the model's variant where this part has it, else those of none,
   * as diffusers does it; {@link ComponentWeights.variant} says which.
   *
   * @throws HubError `missingWeights`, `pickle` where there are pickles alone, `shardIndex`,
   * `missingFile`, `outsideModel`
   */
  async weights(): Promise<ComponentWeights> {
    const folder = componentFolders[this.name];
    for (const variant of new Set([this.#variant, undefined])) {
      const weights = await findWeights(this.#root, folder, this.library, variant);
      if (weights) return weights;
    }
    throw await noWeights(this.#root, folder, this.library, this.#variant);
  }
}

/** A model in diffusers layout, whose index was found right. */
export class ModelDirectory {
  /** The directory, as it was named. */
  readonly path: string;
  readonly index: ModelIndex;
  /** The parts that it has, in the order a pipeline uses them. */
  readonly components: ReadonlyMap<ComponentName, ModelComponent>;

  /** @internal Use {@link openModelDirectory}. */
  constructor(root: ModelRoot, index: ModelIndex, variant: string | undefined) {
    this.path = root.path;
    this.index = index;
    const components = new Map<ComponentName, ModelComponent>();
    for (const name of componentNames) {
      const saved = index.components.get(name);
      if (saved) components.set(name, new ModelComponent(root, name, saved, variant));
    }
    this.components = components;
  }

  /**
   * The part called `name`.
   *
   * @throws HubError `missingComponent` where the model has none
   */
  component(name: ComponentName): ModelComponent {
    const component = this.components.get(name);
    if (component) return component;
    throw new HubError({
      code: "missingComponent",
      path: join(this.path, "model_index.json"),
      problems: [
        {
          subject: componentFolders[name],
          expected: "[library, class]",
          found: `none in this ${this.index.className}`,
        },
      ],
    });
  }
}

/** How {@link openModelDirectory} reads a model. */
export interface ModelDirectoryOptions {
  /**
   * Files to prefer, as `fp16` of `diffusion_pytorch_model.fp16.safetensors`. Parts without them are
   * read from the files of none; that no part has them is refused.
   */
  readonly variant?: string | undefined;
}

const weightedComponents: readonly ComponentName[] = [
  "textEncoder",
  "imageEncoder",
  "transformer",
  "transformer2",
  "vae",
];

/**
 * Opens a model in diffusers layout: reads `model_index.json` and finds the folders of its parts.
 * Configs and weights are read when a part is asked for them.
 *
 * @throws HubError `notFound`, `notADirectory`, `missingFile`, `fileTooLarge`, `invalidJson`,
 * `modelIndex`, `missingComponent` with every missing folder, `outsideModel`, `invalidVariant`,
 * `missingVariant`
 */
export async function openModelDirectory(
  path: string,
  { variant }: ModelDirectoryOptions = {},
): Promise<ModelDirectory> {
  if (variant !== undefined && !variantPattern.test(variant)) {
    const problems = [
      { subject: "variant", expected: "letters, digits, - and _", found: JSON.stringify(variant) },
    ];
    throw new HubError({ code: "invalidVariant", path, problems });
  }
  const root = await openRoot(path);
  const indexFile = await findInRoot(root, "model_index.json");
  if (indexFile === undefined) {
    throw new HubError({
      code: "missingFile",
      path: join(path, "model_index.json"),
      problems: [{ subject: "", expected: "a file", found: "nothing" }],
      remedy: "Name a model in diffusers layout: the directory that has model_index.json in it",
    });
  }
  const index = parseModelIndex(await readJsonFile(indexFile, maxConfigBytes), indexFile);
  await checkFolders(root, index);
  if (variant !== undefined) await checkVariant(root, index, variant);
  return new ModelDirectory(root, index, variant);
}

async function checkFolders(root: ModelRoot, index: ModelIndex): Promise<void> {
  const missing: string[] = [];
  for (const name of index.components.keys()) {
    const path = await findInRoot(root, componentFolders[name]);
    if (path === undefined || (await kindOf(path)) !== "directory") missing.push(componentFolders[name]);
  }
  if (missing.length === 0) return;
  throw new HubError({
    code: "missingComponent",
    path: root.path,
    problems: missing.map((folder) => ({
      subject: folder,
      expected: "a folder, as model_index.json lists it",
      found: "none",
    })),
    remedy: "Download the model again",
  });
}

async function checkVariant(root: ModelRoot, index: ModelIndex, variant: string): Promise<void> {
  for (const name of weightedComponents) {
    const saved = index.components.get(name);
    if (saved && (await findWeights(root, componentFolders[name], saved.library, variant))) return;
  }
  throw new HubError({
    code: "missingVariant",
    path: root.path,
    problems: [{ subject: "variant", expected: "one that a part has", found: JSON.stringify(variant) }],
  });
}
