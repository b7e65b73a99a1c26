import { join } from "node:path";
import {
  HubError,
  openWeights,
  readSafetensorsHeader,
  readWeightEntries,
  SafetensorsError,
  type WeightListing,
} from "@wan-ts/hub";
import { accepted, BrokenPromise, type FuzzInput, type FuzzTarget, refusalOf } from "../fuzz-target.ts";
import { mutateBytes, writeInteger } from "../mutate-bytes.ts";
import { mutateJson } from "../mutate-json.ts";
import type { FuzzRandom } from "../random.ts";

const lengthBytes = 8;

const headers: readonly Readonly<Record<string, unknown>>[] = [
  {
    __metadata__: { format: "pt", note: "made for fuzzing" },
    "blocks.0.weight": { dtype: "F32", shape: [2, 3], data_offsets: [0, 24] },
    "blocks.0.bias": { dtype: "BF16", shape: [3], data_offsets: [24, 30] },
    scale: { dtype: "F16", shape: [], data_offsets: [30, 32] },
    empty: { dtype: "I64", shape: [0, 7], data_offsets: [32, 32] },
  },
  {
    packed: { dtype: "U8", shape: [8, 1], data_offsets: [0, 8] },
    codes: { dtype: "I8", shape: [2, 2, 2, 1, 1, 1, 1, 1], data_offsets: [8, 16] },
    wide: { dtype: "F64", shape: [2], data_offsets: [16, 32] },
    small: { dtype: "F8_E4M3", shape: [4], data_offsets: [32, 36] },
    half: { dtype: "F4", shape: [2], data_offsets: [36, 37] },
  },
  {},
];

/**
 * Headers of safetensors files, through the native reader and the one in TypeScript: both take a file
 * or both refuse it, and of what they take they tell the same.
 */
export const safetensorsTarget: FuzzTarget = {
  name: "safetensors",
  maxResidentBytes: 1 << 30,
  open(folder) {
    const file = join(folder, "model.safetensors");
    return Promise.resolve({
      input: (random) => ({ place: "model.safetensors", bytes: mutatedFile(random) }),
      async run({ bytes }: FuzzInput) {
        await Bun.write(file, bytes);
        const weights = { folder, variant: undefined, files: [file], index: undefined };
        const [script, native] = await Promise.all([
          outcome(async () => entriesOf(await readWeightEntries(weights))),
          outcome(async () => {
            using source = await openWeights(weights);
            return entriesOf(source);
          }),
        ]);
        if ((script.kind === accepted) !== (native.kind === accepted)) {
          throw new BrokenPromise(`TypeScript: ${script.kind}, native: ${native.kind}`);
        }
        if (script.kind === accepted) {
          if (!Bun.deepEquals(script.entries, native.entries, true)) {
            throw new BrokenPromise(
              `TypeScript reads ${JSON.stringify(script.entries)}, native ${JSON.stringify(native.entries)}`,
            );
          }
          await compareBytes(file, bytes);
        }
        return script.kind;
      },
    });
  },
};

function entriesOf(listing: WeightListing): unknown {
  return [...listing.names()].map((name) => [name, listing.entry(name)]);
}

async function outcome(read: () => Promise<unknown>): Promise<{ kind: string; entries: unknown }> {
  try {
    return { entries: await read(), kind: accepted };
  } catch (error) {
    return { entries: undefined, kind: refusalOf(error, [SafetensorsError, HubError]) };
  }
}

/** The tensors that can be computed with are the bytes that the header's reader says. */
async function compareBytes(file: string, bytes: Uint8Array): Promise<void> {
  const { tensors } = await readSafetensorsHeader(file);
  using source = await openWeights({ folder: file, variant: undefined, files: [file], index: undefined });
  for (const [name, { offset, bytes: length }] of tensors) {
    try {
      using tensor = source.tensor(name);
      const found = await tensor.rawBytes();
      if (!Bun.deepEquals(found, bytes.slice(offset, offset + length))) {
        throw new BrokenPromise(`tensor ${JSON.stringify(name)} has other bytes than its entry`);
      }
    } catch (error) {
      if (!(SafetensorsError.isInstance(error) && error.code === "unsupportedDtype")) throw error;
    }
  }
}

function mutatedFile(random: FuzzRandom): Uint8Array {
  const header = random.pick(headers);
  const dataBytes = Math.max(0, ...Object.values(header).map(endOf));
  const json = random.oneIn(8)
    ? new TextEncoder().encode(JSON.stringify(header))
    : mutateJson(header, random);
  const file = new Uint8Array(lengthBytes + json.length + dataBytes);
  writeInteger(file, 0, lengthBytes, BigInt(json.length), true);
  file.set(json, lengthBytes);
  for (let at = 0; at < dataBytes; at++) file[lengthBytes + json.length + at] = at + 1;
  return random.oneIn(4) ? mutateBytes(file, random) : file;
}

function endOf(entry: unknown): number {
  const { data_offsets: offsets } = entry as { data_offsets?: readonly [number, number] };
  return offsets?.[1] ?? 0;
}
