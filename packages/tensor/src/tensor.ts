import * as native from "@wan-ts/binding";
import { type Device, type DType, dtypeSize } from "./dtype.ts";
import { awaitNative, callNative, TensorError } from "./errors.ts";
import { register, tensorMarker, unregister } from "./scope.ts";

/** Values of a tensor in JavaScript: the 16-bit floats are widened to `Float32Array`. */
export type TensorData = Float32Array | Int32Array | BigInt64Array | Int8Array | Uint8Array;

/**
 * A handle to a tensor in native memory.
 *
 * Operations return at once with a tensor whose value is computed on the device's stream; only
 * {@link Tensor.data} and its like wait for it. Views share their storage; nothing writes a tensor
 * once it is computed. A storage is freed with its last handle: by the {@link scope} it was made in,
 * by `using`, or by {@link Tensor.dispose}.
 */
export class Tensor implements Disposable {
  readonly dtype: DType;
  /** Elements along each dimension. */
  readonly shape: readonly number[];
  readonly device: Device;
  readonly [tensorMarker] = true;
  /** @internal The addon's handle. */
  readonly native: native.NativeTensor;

  /** @internal Use {@link Tensor.from} or an operation. */
  constructor(handle: native.NativeTensor) {
    this.native = handle;
    this.dtype = handle.dtype as DType;
    this.shape = handle.shape;
    this.device = handle.device as Device;
    register(this);
  }

  /**
   * A tensor that holds a copy of `values`, row-major.
   *
   * @param dtype By default the array's own; float32 values may also be given for `bfloat16` and
   * `float16` (rounded to nearest even).
   * @param device By default the processor.
   * @throws {TensorError} `shape` where the count doesn't fit, `dtype` where the array can't hold it,
   * `device` where there is no such device.
   */
  static from(
    values: TensorData | readonly number[],
    shape: readonly number[],
    dtype?: DType,
    device: Device = "cpu",
  ): Tensor {
    if (device === "cpu") return Tensor.#here(values, shape, dtype);
    using here = Tensor.#here(values, shape, dtype);
    return here.toDevice(device);
  }

  static #here(values: TensorData | readonly number[], shape: readonly number[], dtype?: DType): Tensor {
    const array = Array.isArray(values) ? toArray(values, dtype ?? "float32") : (values as TensorData);
    const held = heldDType(array);
    const wanted = dtype ?? held;
    const narrows = held === "float32" && (wanted === "bfloat16" || wanted === "float16");
    if (held !== wanted && !narrows) {
      throw TensorError.argument(
        "tensor",
        "values",
        `an array that holds ${wanted}`,
        `a ${array.constructor.name}`,
      );
    }
    const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    if (!narrows) return Tensor.fromBytes(bytes, shape, held);
    using wide = Tensor.fromBytes(bytes, shape, held);
    return wide.to(wanted);
  }

  /** A tensor that holds a copy of `bytes`: elements of `dtype`, row-major, little-endian. */
  static fromBytes(bytes: Uint8Array, shape: readonly number[], dtype: DType): Tensor {
    return new Tensor(callNative(() => native.NativeTensor.fromBytes(bytes, dtype, [...shape])));
  }

  /**
   * A tensor of one value.
   *
   * @throws {TensorError} `device` where there is no such device.
   */
  static full(
    shape: readonly number[],
    value: number,
    dtype: DType = "float32",
    device: Device = "cpu",
  ): Tensor {
    return new Tensor(callNative(() => native.fill(dtype, [...shape], value, device)));
  }

  /** A tensor of zeros. */
  static zeros(shape: readonly number[], dtype: DType = "float32", device: Device = "cpu"): Tensor {
    return Tensor.full(shape, 0, dtype, device);
  }

  /** The number of dimensions. */
  get rank(): number {
    return this.shape.length;
  }

  /** The number of elements. */
  get count(): number {
    return this.shape.reduce((product, size) => product * size, 1);
  }

  /** Bytes of the elements, were they contiguous. */
  get bytes(): number {
    return this.count * dtypeSize(this.dtype);
  }

  /** Elements to skip for a step along each dimension; 0 repeats. */
  get strides(): readonly number[] {
    return callNative(() => this.native.strides);
  }

  /** Whether the elements lie in row-major order without gaps. */
  get isContiguous(): boolean {
    return callNative(() => this.native.isContiguous);
  }

  /** Whether the elements are read in place from a file mapped into memory. */
  get isMapped(): boolean {
    return callNative(() => this.native.isMapped);
  }

  /** The size of a dimension; negative ones count from the last. */
  size(dim: number): number {
    return this.shape[this.#dim("size", dim)] as number;
  }

  /** The same elements in another shape: a view where strides allow it, else a copy. One size may be -1. */
  reshape(shape: readonly number[]): Tensor {
    const wanted = this.#inferred(shape);
    const view = callNative(() => this.native.reshape(wanted));
    if (view) return new Tensor(view);
    using whole = this.contiguous();
    return whole.reshape(wanted);
  }

  /** A view with dimensions in another order: `dims[i]` becomes dimension `i`. */
  permute(dims: readonly number[]): Tensor {
    const order = dims.map((dim) => this.#dim("permute", dim));
    return new Tensor(callNative(() => this.native.permute(order)));
  }

  /** A view with two dimensions swapped. */
  transpose(first: number, second: number): Tensor {
    const order = this.shape.map((_, dim) => dim);
    const [a, b] = [this.#dim("transpose", first), this.#dim("transpose", second)];
    order[a] = b;
    order[b] = a;
    return this.permute(order);
  }

  /** A view of elements `start..end` along `dim`; by default to the end, negative ones count from it. */
  slice(dim: number, start: number, end?: number): Tensor {
    const along = this.#dim("slice", dim);
    const length = this.shape[along] as number;
    const from = start < 0 ? length + start : start;
    const to = end === undefined ? length : end < 0 ? length + end : end;
    return new Tensor(callNative(() => this.native.slice(along, from, to)));
  }

  /** A view of the elements at `index` along `dim`, without that dimension. */
  select(dim: number, index: number): Tensor {
    const along = this.#dim("select", dim);
    const from = index < 0 ? (this.shape[along] as number) + index : index;
    using part = this.slice(along, from, from + 1);
    return part.squeeze(along);
  }

  /** Views of `count` equal parts along `dim`. */
  chunk(count: number, dim: number): Tensor[] {
    const along = this.#dim("chunk", dim);
    const length = this.shape[along] as number;
    if (!Number.isInteger(count) || count < 1 || length % count !== 0) {
      throw TensorError.argument(
        "chunk",
        "count",
        `a divisor of ${length}, dimension ${along} of [${this.shape}]`,
        `${count}`,
      );
    }
    const part = length / count;
    return Array.from({ length: count }, (_, index) => this.slice(along, index * part, (index + 1) * part));
  }

  /** A view without a dimension, which must be of size 1. */
  squeeze(dim: number): Tensor {
    const along = this.#dim("squeeze", dim);
    if (this.shape[along] !== 1) {
      throw TensorError.argument("squeeze", "dim", "a dimension of size 1", `${along} of [${this.shape}]`);
    }
    return this.reshape(this.shape.filter((_, index) => index !== along));
  }

  /** A view with a new dimension of size 1 before `dim`. */
  unsqueeze(dim: number): Tensor {
    const rank = this.rank + 1;
    const at = dim < 0 ? dim + rank : dim;
    if (!Number.isInteger(at) || at < 0 || at >= rank) {
      throw TensorError.argument("unsqueeze", "dim", `within ±${rank}`, `${dim}`);
    }
    return this.reshape([...this.shape.slice(0, at), 1, ...this.shape.slice(at)]);
  }

  /** A view in which dimensions of size 1 are repeated to `shape`; new ones come in front. */
  expand(shape: readonly number[]): Tensor {
    return new Tensor(callNative(() => this.native.expand([...shape])));
  }

  /** The same values row-major: another handle where they are already, else a copy. */
  contiguous(): Tensor {
    return this.isContiguous ? this.share() : this.#copy(this.dtype);
  }

  /** The same values in another dtype, to nearest even: another handle where it is this one, else a copy. */
  to(dtype: DType): Tensor {
    return dtype === this.dtype ? this.share() : this.#copy(dtype);
  }

  /**
   * The same values on another device, row-major: another handle where they are there already, else a
   * copy. Operations take tensors of one device; nothing is moved without this call.
   *
   * @param ahead Copy beside what the device computes, for what is needed later; by default false.
   * @throws {TensorError} `device` where there is no such device.
   */
  toDevice(device: Device, { ahead = false }: { readonly ahead?: boolean } = {}): Tensor {
    if (device === this.device) return this.share();
    return new Tensor(callNative(() => this.native.toDevice(device, ahead)));
  }

  /** Another handle to this view, with a life of its own. */
  share(): Tensor {
    return new Tensor(callNative(() => this.native.share()));
  }

  /** The values, row-major, once computed. */
  async data(): Promise<TensorData> {
    if (this.dtype === "bfloat16" || this.dtype === "float16") {
      using widened = this.#copy("float32");
      return await widened.data();
    }
    return viewAs(await this.rawBytes(), this.dtype);
  }

  /** The values, row-major; blocks the JavaScript thread until they are computed. */
  dataBlocking(): TensorData {
    if (this.dtype === "bfloat16" || this.dtype === "float16") {
      using widened = this.#copy("float32");
      return widened.dataBlocking();
    }
    return viewAs(
      callNative(() => this.native.readBlocking()),
      this.dtype,
    );
  }

  /** The values of a float tensor, row-major, once computed. */
  async floats(): Promise<Float32Array> {
    return asFloats(await this.data(), this.dtype);
  }

  /** {@link Tensor.floats}, blocking the JavaScript thread. */
  floatsBlocking(): Float32Array {
    return asFloats(this.dataBlocking(), this.dtype);
  }

  /** The stored bytes, row-major, little-endian, once computed. */
  rawBytes(): Promise<Uint8Array> {
    return awaitNative(() => this.native.read());
  }

  /** Lets go of the storage. A second call does nothing. */
  dispose(): void {
    this.native.dispose();
    unregister(this);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** Whether the tensor was disposed. */
  get isDisposed(): boolean {
    return this.native.isDisposed;
  }

  toString(): string {
    return `Tensor(${this.dtype} [${this.shape.join(", ")}] on ${this.device})`;
  }

  #copy(dtype: DType): Tensor {
    return new Tensor(callNative(() => native.copy(this.native, dtype)));
  }

  #dim(operation: string, dim: number): number {
    const resolved = dim < 0 ? dim + this.rank : dim;
    if (!Number.isInteger(resolved) || resolved < 0 || resolved >= this.rank) {
      throw TensorError.argument(operation, "dim", `a dimension of [${this.shape}]`, `${dim}`);
    }
    return resolved;
  }

  #inferred(shape: readonly number[]): number[] {
    const open = shape.indexOf(-1);
    if (open < 0) return [...shape];
    const known = shape.reduce((product, size, dim) => (dim === open ? product : product * size), 1);
    const missing = this.count / known;
    if (!Number.isInteger(missing) || shape.lastIndexOf(-1) !== open) {
      throw TensorError.argument(
        "reshape",
        "shape",
        `one that the elements of [${this.shape}] fill, with one -1 at most`,
        `[${shape}]`,
      );
    }
    return shape.map((size, dim) => (dim === open ? missing : size));
  }
}

function asFloats(data: TensorData, dtype: DType): Float32Array {
  if (data instanceof Float32Array) return data;
  throw TensorError.argument("floats", "dtype", "a float type", dtype);
}

function heldDType(array: TensorData): DType {
  if (array instanceof Float32Array) return "float32";
  if (array instanceof Int32Array) return "int32";
  if (array instanceof BigInt64Array) return "int64";
  if (array instanceof Int8Array) return "int8";
  return "uint8";
}

function toArray(values: readonly number[], dtype: DType): TensorData {
  switch (dtype) {
    case "int32":
      return Int32Array.from(values);
    case "int64":
      return BigInt64Array.from(values.map((value) => BigInt(value)));
    case "int8":
      return Int8Array.from(values);
    case "uint8":
      return Uint8Array.from(values);
    default:
      return Float32Array.from(values);
  }
}

function viewAs(bytes: Uint8Array, dtype: DType): TensorData {
  const { buffer, byteOffset, byteLength } = bytes;
  switch (dtype) {
    case "int32":
      return new Int32Array(buffer, byteOffset, byteLength / 4);
    case "int64":
      return new BigInt64Array(buffer, byteOffset, byteLength / 8);
    case "int8":
      return new Int8Array(buffer, byteOffset, byteLength);
    case "uint8":
      return bytes;
    default:
      return new Float32Array(buffer, byteOffset, byteLength / 4);
  }
}
