import type { NativeProcessGroup } from "@wan-ts/binding";
import { concatenate, type Device, type DType, Tensor, TensorError } from "@wan-ts/tensor";
import { callOperation } from "./call-operation.ts";

/** Completed collectives of one kind; payload bytes, what a member sends itself apart. */
export interface LedgerEntry {
  readonly collective: string;
  readonly count: number;
  readonly bytesSent: number;
  readonly bytesReceived: number;
}

/** How a dimension is shared out: member `i` has `sizes[i]` of it, after those before. */
export interface Share {
  /** Negative ones count from the last. */
  readonly dim: number;
  readonly sizes: readonly number[];
}

/** A tensor to come: what the receiver has to know of it. */
export interface Incoming {
  readonly shape: readonly number[];
  readonly dtype: DType;
  /** Where it is to be; the sender's is there too. By default the processor. */
  readonly device?: Device;
}

/**
 * An ordered list of ranks that call collectives together.
 *
 * Collectives are operations: they return at once, run in the order of submission, all groups taken
 * together, and only reading the result waits. {@link ProcessGroup.exchange}, `send` and `receive` run
 * beside the stream: what is submitted after one and doesn't read its result is computed meanwhile. All members call the same collectives of a group in the same order; where one
 * doesn't, every member's result fails with both descriptions and nothing is moved. A rank that
 * dies, stops or fails, fails the results of those that wait for it. Failed results throw a
 * `TensorError` of code `collective` when read, and so do tensors computed from them. After a
 * failure the run is over: later collectives fail as well.
 */
export class ProcessGroup {
  readonly label: string;
  /** The ranks, of the whole run, in the group's order. */
  readonly members: readonly number[];
  /** This process's place among the members. */
  readonly index: number;
  readonly #native: NativeProcessGroup;
  readonly #groups: ProcessGroup[];

  /** @internal Use {@link Ranks.world} and {@link ProcessGroup.split}. It enters itself into `groups`. */
  constructor(group: NativeProcessGroup, groups: ProcessGroup[]) {
    this.#native = group;
    this.#groups = groups;
    groups.push(this);
    this.label = group.label;
    this.members = group.members;
    this.index = group.index;
  }

  /** The number of members. */
  get size(): number {
    return this.members.length;
  }

  /** Resolves once all members have come, after everything submitted before. */
  async barrier(): Promise<void> {
    using token = new Tensor(callOperation(() => this.#native.barrier()));
    await token.rawBytes();
  }

  /** Member `root`'s tensor, on all. The root gives the tensor, the others what they know of it. */
  broadcast(source: Tensor | Incoming, root: number): Tensor {
    const tensor = source instanceof Tensor ? source : undefined;
    if ((tensor !== undefined) !== (root === this.index)) {
      const found = `member ${this.index} gave ${tensor ? "a tensor" : "none"}`;
      throw TensorError.argument("broadcast", "source", `a tensor on member ${root} alone`, found);
    }
    return new Tensor(
      callOperation(() =>
        this.#native.broadcast(tensor?.native, root, source.dtype, [...source.shape], source.device ?? "cpu"),
      ),
    );
  }

  /**
   * The members' tensors one after the other along `dim`, in which they may differ: `sizes` are
   * their extents there, by default all as this one's.
   */
  allGather(input: Tensor, options: { dim?: number; sizes?: readonly number[] } = {}): Tensor {
    const dim = checkDim("allGather", input, options.dim ?? 0);
    const sizes = options.sizes ?? this.members.map(() => input.size(dim));
    return alongDim(input, dim, (rows) =>
      callOperation(() => this.#native.allGather(rows.native, [...sizes])),
    );
  }

  /**
   * Part `j` of `parts` comes to member `j`; returns the parts that come from each member, which have
   * the shapes of `incoming`, by default those of `parts`. Results are views of one storage.
   */
  allToAll(parts: readonly Tensor[], incoming?: readonly (readonly number[])[]): Tensor[] {
    const shapes = incoming ?? parts.map((part) => part.shape);
    if (parts.length !== this.size || shapes.length !== this.size) {
      const found = `${parts.length} parts and ${shapes.length} shapes`;
      throw TensorError.argument("allToAll", "parts", `one for each of ${this.size} members`, found);
    }
    const counts = shapes.map((shape) => shape.reduce((product, size) => product * size, 1));
    using sent = flatten(parts);
    using received = new Tensor(
      callOperation(() =>
        this.#native.allToAll(
          sent.native,
          parts.map((part) => part.count),
          counts,
        ),
      ),
    );
    let start = 0;
    return shapes.map((shape, member) => {
      const end = start + (counts[member] as number);
      using part = received.slice(0, start, end);
      start = end;
      return part.reshape(shape);
    });
  }

  /**
   * Shares tensors of one shape and dtype out along another dimension, all in one all-to-all: of each
   * this member has its share along `gather.dim` and the whole of `split.dim`, and gets the whole of
   * `gather.dim` and its share along `split.dim`. `sizes` are the members' shares, equal on all; any
   * may be 0.
   *
   * So (B, S/P, H, D) queries, keys and values become (B, S, H/P, D) with
   * `{ gather: { dim: 1, sizes: tokens }, split: { dim: 2, sizes: heads } }`, and the output comes
   * back with the two exchanged. What lies in shared memory is copied once, straight to its place.
   *
   * @throws {TensorError} `argument` unless 1 to 8 tensors are given, all alike, and the sizes fit them.
   */
  reshard(inputs: readonly Tensor[], shares: { readonly gather: Share; readonly split: Share }): Tensor[] {
    const [first] = inputs;
    if (!first) throw TensorError.argument("reshard", "inputs", "from 1 to 8 tensors", "none");
    const gather = checkDim("reshard", first, shares.gather.dim);
    const split = checkDim("reshard", first, shares.split.dim);
    return callOperation(() =>
      this.#native.reshard(
        inputs.map((input) => input.native),
        gather,
        [...shares.gather.sizes],
        split,
        [...shares.split.sizes],
      ),
    ).map((output) => new Tensor(output));
  }

  /** The sum of the members' tensors, added in their order. */
  allReduce(input: Tensor): Tensor {
    return new Tensor(callOperation(() => this.#native.allReduce(input.native)));
  }

  /**
   * This member's part, along `dim`, of the sum of the members' tensors: member `j` gets `sizes[j]`,
   * by default equal parts.
   */
  reduceScatter(input: Tensor, options: { dim?: number; sizes?: readonly number[] } = {}): Tensor {
    const dim = checkDim("reduceScatter", input, options.dim ?? 0);
    const length = input.size(dim);
    if (options.sizes === undefined && length % this.size !== 0) {
      const expected = `a multiple of ${this.size} along dimension ${dim}, or sizes`;
      throw TensorError.argument("reduceScatter", "input", expected, `[${input.shape}]`);
    }
    const sizes = options.sizes ?? this.members.map(() => length / this.size);
    return alongDim(input, dim, (rows) =>
      callOperation(() => this.#native.reduceScatter(rows.native, [...sizes])),
    );
  }

  /** Sends `input` to member `to`; resolves once it may be taken as sent. */
  async send(input: Tensor, to: number): Promise<void> {
    using token = this.#sending(input, to);
    await token.rawBytes();
  }

  /** Sends `input` to member `to` some time: where it fails, so do later collectives. */
  post(input: Tensor, to: number): void {
    this.#sending(input, to).dispose();
  }

  #sending(input: Tensor, to: number): Tensor {
    return new Tensor(
      callOperation(() => this.#native.exchange(input.native, to, undefined, input.dtype, [], input.device)),
    );
  }

  /** The tensor that member `from` sends. */
  receive(incoming: Incoming, from: number): Tensor {
    return new Tensor(
      callOperation(() =>
        this.#native.exchange(
          undefined,
          undefined,
          from,
          incoming.dtype,
          [...incoming.shape],
          incoming.device ?? "cpu",
        ),
      ),
    );
  }

  /** Sends `input` to member `to` and returns the tensor of the same dtype that comes from `from`. */
  exchange(input: Tensor, to: number, from: number, shape: readonly number[] = input.shape): Tensor {
    return new Tensor(
      callOperation(() =>
        this.#native.exchange(input.native, to, from, input.dtype, [...shape], input.device),
      ),
    );
  }

  /**
   * New groups of this one's members, such as the rows of a mesh: all members name the same disjoint
   * lists of places in this group, and get the group they are in. Waits, blocking, for the stream
   * and for the other members.
   *
   * @throws {CollectiveError} as collectives do.
   */
  split(label: string, parts: readonly (readonly number[])[]): ProcessGroup | undefined {
    const lists = parts.map((part) => [...part]);
    const group = callOperation(() => this.#native.split(label, lists));
    return group ? new ProcessGroup(group, this.#groups) : undefined;
  }

  /** What this group has completed so far, by kind. */
  ledger(): readonly LedgerEntry[] {
    return this.#native.ledger();
  }

  /** Bytes that were copied here before other members could have them, as they weren't shared memory. */
  stagedBytes(): number {
    return this.#native.stagedBytes();
  }
}

/** Runs a collective over rows of dimension 0 along another dimension. */
function alongDim(
  input: Tensor,
  dim: number,
  collective: (rows: Tensor) => ConstructorParameters<typeof Tensor>[0],
): Tensor {
  const first = [dim, ...input.shape.map((_, other) => other).filter((other) => other !== dim)];
  using rows = input.permute(first);
  const result = new Tensor(collective(rows));
  if (dim === 0) return result;
  using turned = result;
  return turned.permute(input.shape.map((_, other) => first.indexOf(other)));
}

function flatten(parts: readonly Tensor[]): Tensor {
  const flat = parts.map((part) => part.reshape([part.count]));
  try {
    return concatenate(flat, 0);
  } finally {
    for (const part of flat) part.dispose();
  }
}

function checkDim(operation: string, input: Tensor, dim: number): number {
  const resolved = dim < 0 ? dim + input.rank : dim;
  if (Number.isInteger(resolved) && resolved >= 0 && resolved < input.rank) return resolved;
  throw TensorError.argument(operation, "dim", `a dimension of [${input.shape}]`, `${dim}`);
}
