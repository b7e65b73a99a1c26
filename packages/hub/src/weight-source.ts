import type { Tensor } from "@wan-ts/tensor";
import type { ComponentWeights } from "./component-weights.ts";
import { HubError } from "./errors.ts";
import { joinEntries, type WeightEntry, type WeightListing } from "./weight-entries.ts";
import { nativeWeightFiles } from "./weight-file.ts";

/** One open safetensors file. */
export interface WeightFile {
  entries(): Iterable<readonly [name: string, entry: WeightEntry]>;
  /** A tensor that reads the file in place, which the caller disposes. */
  tensor(name: string): Tensor;
  /** The stored bytes of a tensor, copied. */
  bytes(name: string): Uint8Array;
  /** Lets go of the file; tensors of it stay good. */
  close(): void;
}

/** How {@link openWeights} opens files. */
export interface WeightFileOpener {
  open(path: string): Promise<WeightFile>;
}

/** The open weights of one part of a model. */
export interface WeightSource extends WeightListing, Disposable {
  /**
   * A tensor of the stored dtype that reads the file in place, which the caller disposes.
   *
   * @throws HubError `missingTensor`, `closed`
   * @throws SafetensorsError `unsupportedDtype`
   */
  tensor(name: string): Tensor;
  /**
   * The stored bytes of a tensor, copied at once: for descriptions of a few bytes.
   *
   * @throws as {@link WeightSource.tensor} does.
   */
  bytes(name: string): Uint8Array;
  /** Lets go of the files; tensors of them stay good. */
  close(): void;
}

/**
 * Opens the files of a part's weights, all of them or none, and checks that they belong together.
 * Pages are read from the disk when a tensor of theirs is first computed with.
 *
 * @throws SafetensorsError where a file isn't right, HubError as {@link joinEntries} does
 */
export async function openWeights(
  weights: ComponentWeights,
  opener: WeightFileOpener = nativeWeightFiles,
): Promise<WeightSource> {
  const files = new Map<string, WeightFile>();
  const close = (): void => {
    for (const file of files.values()) file.close();
    files.clear();
  };
  try {
    for (const path of weights.files) files.set(path, await opener.open(path));
    const entries = joinEntries(
      weights,
      Array.from(files, ([file, opened]) => ({ file, entries: opened.entries() })),
    );
    const fileOf = (name: string): WeightFile => {
      const entry = entries.get(name);
      if (!entry) {
        const problems = [{ subject: name, expected: "a tensor of this name", found: "none" }];
        throw new HubError({ code: "missingTensor", path: weights.folder, problems });
      }
      const file = files.get(entry.file);
      if (!file) {
        const problems = [{ subject: name, expected: "open weights", found: "closed ones" }];
        throw new HubError({ code: "closed", path: weights.folder, problems });
      }
      return file;
    };
    return {
      description: weights.folder,
      names: () => entries.keys(),
      entry: (name) => entries.get(name),
      tensor: (name) => fileOf(name).tensor(name),
      bytes: (name) => fileOf(name).bytes(name),
      close,
      [Symbol.dispose]: close,
    };
  } catch (error) {
    close();
    throw error;
  }
}
