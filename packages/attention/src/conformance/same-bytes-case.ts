import { type Device, type KeyPiece, scope, setThreads, type Tensor, threads } from "@wan-ts/tensor";
import type { AttentionBackend, AttentionCall, AttentionResult } from "../backend.ts";
import { type AttentionSetup, nameOf, requestOf } from "./attention-setup.ts";
import { type BuiltInputs, buildInputs, disposeInputs } from "./build-inputs.ts";
import type { ConformanceCase } from "./conformance-case.ts";
import { ConformanceFailure } from "./conformance-failure.ts";
import { expectNoLeak } from "./expect-no-leak.ts";

/** A part of an attention: a range of batches, queries and heads. */
export interface Part {
  readonly batch: readonly [number, number];
  readonly queries: readonly [number, number];
  readonly heads: readonly [number, number];
}

/** A case that computes a part of an attention alone and among the rest: the bytes must be the same. */
export function rowInvarianceCase(setup: AttentionSetup, part: Part): ConformanceCase {
  const ranges = Object.entries(part).map(([key, [start, end]]) => `${key}=${start}:${end}`);
  const name = `${nameOf("rowInvariance", setup)} part(${ranges.join(", ")})`;
  return sameBytesCase({ family: "rowInvariance", name, needs: "rowInvariant" }, setup, (backend, call) =>
    expectSame(name, "the part alone", [
      () => scope(() => partOf(backend.attend(call), part)),
      () => scope(() => backend.attend(partOfCall(call, part))),
    ]),
  );
}

/** A case that computes the same attention with several numbers of threads: the bytes must be the same. */
export function threadInvarianceCase(setup: AttentionSetup): ConformanceCase {
  const name = `${nameOf("rowInvariance", setup)} threads(1, 2, 3)`;
  return sameBytesCase({ family: "rowInvariance", name, needs: "rowInvariant" }, setup, (backend, call) =>
    expectSameByThreads(name, backend, call),
  );
}

/** A case that gives keys and values in pieces that end at `ends`: the bytes must be those of all at once. */
export function piecesCase(setup: AttentionSetup, ends: readonly number[]): ConformanceCase {
  const name = `${nameOf("keysInPieces", setup)} cut at (${ends.join(", ")})`;
  return sameBytesCase({ family: "keysInPieces", name, needs: "keysInPieces" }, setup, (backend, call) =>
    expectSame(name, "keys in pieces", [
      () => backend.attend(call),
      () => backend.attend(inPieces(call, ends)),
    ]),
  );
}

function sameBytesCase(
  what: Pick<ConformanceCase, "family" | "name" | "needs">,
  setup: AttentionSetup,
  compare: (backend: AttentionBackend, call: AttentionCall) => Promise<void>,
): ConformanceCase {
  return {
    ...what,
    request: requestOf(setup),
    run: (backend, device) =>
      expectNoLeak(what.name, () =>
        withInputs(what.name, setup, device, ({ call }) => compare(backend, call)),
      ),
  };
}

/** The call with its keys cut; each piece lives until the next is asked for. */
function inPieces(call: AttentionCall, ends: readonly number[]): AttentionCall {
  const starts = [0, ...ends];
  const pieces = piecesOf(call, starts, [...ends, call.key.size(1)]);
  const { value: first } = pieces.next() as { value: KeyPiece };
  return { ...call, ...first, following: pieces };
}

function* piecesOf(
  { key, value }: AttentionCall,
  starts: readonly number[],
  ends: readonly number[],
): Generator<KeyPiece, void, void> {
  for (const [place, start] of starts.entries()) {
    using keys = key.slice(1, start, ends[place]!);
    using values = value.slice(1, start, ends[place]!);
    yield { key: keys, value: values };
  }
}

async function expectSameByThreads(
  name: string,
  backend: AttentionBackend,
  call: AttentionCall,
): Promise<void> {
  const before = threads();
  const withThreads = (count: number) => () => {
    setThreads(count);
    return backend.attend(call);
  };
  try {
    await expectSame(name, "the result of other threads", [withThreads(1), withThreads(2), withThreads(3)]);
  } finally {
    setThreads(before);
  }
}

async function withInputs(
  name: string,
  setup: AttentionSetup,
  device: Device | undefined,
  body: (inputs: BuiltInputs) => Promise<void>,
): Promise<void> {
  const inputs = buildInputs(name, setup, device);
  try {
    await body(inputs);
  } finally {
    disposeInputs(inputs);
  }
}

async function expectSame(
  name: string,
  what: string,
  runs: readonly (() => AttentionResult)[],
): Promise<void> {
  let first: Uint8Array[] | undefined;
  for (const run of runs) {
    const bytes = await readAndDispose(run());
    first ??= bytes;
    for (const [index, part] of bytes.entries()) {
      const other = first[index] as Uint8Array;
      const at = part.findIndex((byte, position) => byte !== other[position]);
      if (at < 0 && part.length === other.length) continue;
      throw new ConformanceFailure(name, {
        what: `${["output", "logSumExp", "logSumExpResidue"][index]} of ${what}`,
        expected: "the same bytes",
        found: `different from byte ${at} of ${part.length} on`,
      });
    }
  }
}

async function readAndDispose(result: AttentionResult): Promise<Uint8Array[]> {
  const tensors = [result.output, result.logSumExp, result.logSumExpResidue].filter((tensor) => !!tensor);
  try {
    return await Promise.all(tensors.map((tensor) => tensor.rawBytes()));
  } finally {
    for (const tensor of tensors) tensor.dispose();
  }
}

function partOf({ output, logSumExp, logSumExpResidue }: AttentionResult, part: Part): AttentionResult {
  const cut = (tensor: Tensor): Tensor =>
    tensor
      .slice(0, ...part.batch)
      .slice(1, ...part.queries)
      .slice(2, ...part.heads);
  return {
    output: cut(output),
    ...(logSumExp && { logSumExp: cut(logSumExp) }),
    ...(logSumExpResidue && { logSumExpResidue: cut(logSumExpResidue) }),
  };
}

function partOfCall(call: AttentionCall, part: Part): AttentionCall {
  const keysOf = (tensor: Tensor): Tensor => tensor.slice(0, ...part.batch).slice(2, ...part.heads);
  const { query, mask } = call;
  const whole = mask?.expand([query.size(0), query.size(2), query.size(1), call.key.size(1)]);
  return {
    ...call,
    query: keysOf(query).slice(1, ...part.queries),
    key: keysOf(call.key),
    value: keysOf(call.value),
    mask: whole
      ?.slice(0, ...part.batch)
      .slice(1, ...part.heads)
      .slice(2, ...part.queries),
  };
}
