import { SafetensorsError, type SafetensorsErrorCode } from "../errors.ts";
import { HeaderScanner, HeaderSyntax } from "./header-scanner.ts";
import { storedDTypes } from "./stored-dtype.ts";

/** The longest header that is read: the format's own limit. */
export const maxHeaderBytes = 100_000_000;
/** The most dimensions that a tensor may have. */
export const maxDimensions = 8;
/** Bytes before the header, which hold its length. */
export const lengthBytes = 8;

const metadataKey = "__metadata__";

/** One tensor of a safetensors file. */
export interface SafetensorsEntry {
  /** Element type, as the format names it: `F32`, `BF16`, … */
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Where its bytes start, from the start of the file. */
  readonly offset: number;
  /** How many there are. */
  readonly bytes: number;
}

/** The checked header of a safetensors file. */
export interface SafetensorsHeader {
  readonly file: string;
  /** By name, in the order of their bytes. */
  readonly tensors: ReadonlyMap<string, SafetensorsEntry>;
  /** The strings under `__metadata__`. */
  readonly metadata: ReadonlyMap<string, string>;
}

interface RawTensor {
  dtype?: string;
  /** The first `maxDimensions` extents. */
  shape?: number[];
  dimensions: number;
  offsets?: number[];
}

type Fail = (
  code: SafetensorsErrorCode,
  tensor: string | undefined,
  expected: string,
  found: string,
) => never;

/**
 * Checks `json`, the header of a safetensors file of `fileBytes` bytes, and finds its tensors.
 * After the format's description in the README of huggingface/safetensors; refuses what the native
 * reader refuses.
 *
 * @throws SafetensorsError
 */
export function parseSafetensorsHeader(json: Uint8Array, file: string, fileBytes: number): SafetensorsHeader {
  const fail: Fail = (code, tensor, expected, found) => {
    throw new SafetensorsError({ code, file, tensor, expected, found });
  };
  const { raw, metadata } = scan(json, fail);
  const dataStart = lengthBytes + json.length;
  const entries = [...raw].map(
    ([name, tensor]) => [name, checkTensor(name, tensor, dataStart, fail)] as const,
  );
  entries.sort(([, a], [, b]) => a.offset - b.offset || a.bytes - b.bytes);
  checkCover(entries, dataStart, fileBytes, fail);
  return { file, tensors: new Map(entries), metadata };
}

function scan(json: Uint8Array, fail: Fail): { raw: Map<string, RawTensor>; metadata: Map<string, string> } {
  if (json[0] !== 0x7b) {
    fail("header", undefined, "a header that starts with {", json.length === 0 ? "none" : `byte ${json[0]}`);
  }
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(json);
  } catch {
    return fail("header", undefined, "a header in UTF-8", "other bytes");
  }
  const scanner = new HeaderScanner(text);
  const raw = new Map<string, RawTensor>();
  let metadata: Map<string, string> | undefined;
  let tensor: string | undefined;
  try {
    scanner.object("an object of tensors", (name) => {
      tensor = name;
      if (name === metadataKey ? metadata !== undefined : raw.has(name)) {
        fail("duplicateName", name, "one entry of a name", "two");
      }
      if (name === metadataKey) metadata = scanMetadata(scanner, fail);
      else raw.set(name, scanTensor(scanner));
      tensor = undefined;
    });
    scanner.end();
  } catch (error) {
    if (error instanceof HeaderSyntax) fail("header", tensor, error.expected, error.found);
    throw error;
  }
  return { raw, metadata: metadata ?? new Map() };
}

function scanMetadata(scanner: HeaderScanner, fail: Fail): Map<string, string> {
  const metadata = new Map<string, string>();
  scanner.object("an object of strings", (key) => {
    if (metadata.has(key))
      fail("duplicateName", metadataKey, `one entry called ${JSON.stringify(key)}`, "two");
    metadata.set(key, scanner.string("a string"));
  });
  return metadata;
}

const extentExpected = "an integer from 0 to 2⁵³ − 1";

function scanTensor(scanner: HeaderScanner): RawTensor {
  const tensor: RawTensor = { dimensions: 0 };
  scanner.object("an object with dtype, shape and data_offsets", (key) => {
    if (key === "dtype" && tensor.dtype === undefined) {
      tensor.dtype = scanner.string("a string");
    } else if (key === "shape" && tensor.shape === undefined) {
      const shape: number[] = [];
      scanner.array("a list of extents", () => {
        const extent = scanner.count(extentExpected);
        tensor.dimensions += 1;
        if (tensor.dimensions <= maxDimensions) shape.push(extent);
      });
      tensor.shape = shape;
    } else if (key === "data_offsets" && tensor.offsets === undefined) {
      const offsets: number[] = [];
      scanner.array("two offsets", () => {
        if (offsets.length === 2) scanner.fail("two offsets");
        offsets.push(scanner.count(extentExpected));
      });
      if (offsets.length !== 2) scanner.fail("two offsets");
      tensor.offsets = offsets;
    } else {
      scanner.fail(`dtype, shape and data_offsets once each, not ${JSON.stringify(key)}`);
    }
  });
  return tensor;
}

function checkTensor(name: string, raw: RawTensor, dataStart: number, fail: Fail): SafetensorsEntry {
  const { dtype, shape, dimensions, offsets } = raw;
  const [begin, end] = offsets ?? [];
  if (dtype === undefined || shape === undefined || begin === undefined || end === undefined) {
    const missing = ["dtype", "shape", "data_offsets"].filter(
      (_, at) => [dtype, shape, offsets][at] === undefined,
    );
    return fail("header", name, "dtype, shape and data_offsets", `no ${missing.join(", ")}`);
  }
  const stored = storedDTypes.get(dtype);
  if (!stored) {
    const known = [...storedDTypes.keys()].join(", ");
    return fail("unknownDtype", name, `a dtype of ${known}`, JSON.stringify(dtype));
  }
  if (dimensions > maxDimensions) fail("shape", name, `at most ${maxDimensions} dimensions`, `${dimensions}`);
  // Each partial product is checked: past 2⁵³ a later factor of 0 would hide what went before.
  const bits = [...shape, stored.bits].reduce((product, extent) => {
    const next = product * extent;
    return Number.isSafeInteger(next) ? next : Number.NaN;
  }, 1);
  if (Number.isNaN(bits) || bits % 8 !== 0) {
    fail("shape", name, "a shape of whole bytes that can be addressed", `[${shape.join(", ")}] of ${dtype}`);
  }
  const bytes = bits / 8;
  if (end - begin !== bytes) {
    fail(
      "offsets",
      name,
      `data_offsets ${bytes} apart, for [${shape.join(", ")}] of ${dtype}`,
      `[${begin}, ${end}]`,
    );
  }
  return { dtype, shape, offset: dataStart + begin, bytes };
}

/** Refuses a gap, an overlap, and bytes that belong to no tensor. `entries` are sorted by offset. */
function checkCover(
  entries: readonly (readonly [string, SafetensorsEntry])[],
  dataStart: number,
  fileBytes: number,
  fail: Fail,
): void {
  let covered = dataStart;
  for (const [name, { offset, bytes }] of entries) {
    if (offset !== covered) {
      const kind = offset < covered ? "an overlap" : "a gap";
      fail("offsets", name, `data_offsets from ${covered - dataStart}`, `${offset - dataStart}: ${kind}`);
    }
    covered += bytes;
  }
  if (covered !== fileBytes) {
    fail("fileLength", undefined, `${covered} bytes, where the last tensor ends`, `${fileBytes}`);
  }
}
