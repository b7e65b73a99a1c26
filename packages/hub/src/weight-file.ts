import type { NativeTensorToWrite, NativeWeightFile } from "@wan-ts/binding";
import type { Tensor } from "@wan-ts/tensor";
import { z } from "zod";
import { SafetensorsError, safetensorsErrorCodes } from "./errors.ts";
import type { WeightFile, WeightFileOpener } from "./weight-source.ts";

/** Files mapped by the native addon, which is loaded with the first of them. */
export const nativeWeightFiles: WeightFileOpener = {
  async open(path: string): Promise<WeightFile> {
    const { NativeWeightFile } = await import("@wan-ts/binding");
    const { Tensor } = await import("@wan-ts/tensor");
    const file: NativeWeightFile = translated(() => NativeWeightFile.open(path));
    return {
      *entries() {
        for (const name of file.names()) {
          const entry = translated(() => file.entry(name));
          if (entry) yield [name, { dtype: entry.dtype, shape: entry.shape, bytes: entry.bytes, file: path }];
        }
      },
      tensor: (name) => new Tensor(translated(() => file.tensor(name))),
      bytes: (name) => translated(() => file.bytes(name)),
      close: () => file.dispose(),
    };
  },
};

/**
 * Writes tensors, in their own dtypes, to a safetensors file: under a temporary name that is renamed
 * once the file is complete, so that `path` is either what it was before or whole.
 *
 * @throws SafetensorsError `reservedName`, `io`
 * @throws TensorError where a tensor couldn't be computed
 */
export async function saveTensors(
  path: string,
  tensors: Readonly<Record<string, Tensor>>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  const { writeSafetensors } = await import("@wan-ts/binding");
  const entries: NativeTensorToWrite[] = [];
  for (const [name, tensor] of Object.entries(tensors)) {
    entries.push({ name, dtype: tensor.dtype, shape: [...tensor.shape], data: await tensor.rawBytes() });
  }
  translated(() => writeSafetensors(path, entries, { ...metadata }));
}

/** The facts that the addon puts in the message of an error of a weight file. */
const factsSchema = z.object({
  code: z.enum(safetensorsErrorCodes),
  file: z.string(),
  tensor: z.string().nullish(),
  expected: z.string(),
  found: z.string(),
});

/** Calls into the addon, turning its errors of weight files into {@link SafetensorsError}s. */
function translated<T>(call: () => T): T {
  try {
    return call();
  } catch (cause) {
    throw typedError(cause);
  }
}

function typedError(cause: unknown): unknown {
  if (!(cause instanceof Error) || !cause.message.startsWith("{")) return cause;
  let json: unknown;
  try {
    json = JSON.parse(cause.message);
  } catch {
    return cause;
  }
  const facts = factsSchema.safeParse(json);
  if (!facts.success) return cause;
  return new SafetensorsError({ ...facts.data, tensor: facts.data.tensor ?? undefined });
}
