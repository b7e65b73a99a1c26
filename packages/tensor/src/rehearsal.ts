import * as native from "@wan-ts/binding";
import type { DType } from "./dtype.ts";
import { callNative, TensorError } from "./errors.ts";

/** Element type and shape of what an operation reads or makes. */
export interface Operand {
  readonly dtype: DType;
  readonly shape: readonly number[];
}

/** An operation, with all its runs on operands of one kind. */
export interface RehearsedOperation {
  readonly operation: string;
  readonly inputs: readonly Operand[];
  readonly outputs: readonly Operand[];
  /** How often it would run. */
  readonly count: number;
  /** The most bytes, allocated and of touched pages of mapped files, that would be held during it. */
  readonly peakResidentBytes: number;
}

/** What was rehearsed since the last look. */
export interface Rehearsed {
  /** Bytes of tensors that would be allocated now. */
  readonly allocatedBytes: number;
  /** Bytes of mapped files that tensors read in place now, touched or not. */
  readonly inPlaceBytes: number;
  /** The part of them that would have been touched. */
  readonly mappedBytes: number;
  /** The most that `allocatedBytes` would have been. */
  readonly peakAllocatedBytes: number;
  /** The most that both together would have been. */
  readonly peakResidentBytes: number;
  /** Bytes of tensors that would be allocated on CUDA devices now. */
  readonly deviceBytes: number;
  /** The most that `deviceBytes` would have been. */
  readonly peakDeviceBytes: number;
  /** In the order of each kind's first run. */
  readonly operations: readonly RehearsedOperation[];
}

/**
 * A time in which operations are gone through and not computed: arguments are checked, tensors have
 * shapes and dtypes, and what would be allocated is counted from where the operation would run to the
 * last handle's end. So a program tells by its own code what it would take.
 *
 * It concerns the whole process: nothing else may compute meanwhile. Weights that are opened in it are
 * mapped, and not read. Values read as bytes of 1, which is yes for a flag; tensors made in it have no
 * values once it is disposed.
 *
 * Operations count as run when the program waits (reads a value, or synchronises): it is taken to be
 * far ahead of the device, as it is wherever operations are large.
 */
export class Rehearsal implements Disposable {
  #ended = false;

  /** @throws {TensorError} `argument` while another is under way. */
  constructor() {
    callNative(() => native.beginRehearsal());
  }

  /**
   * What was rehearsed since it began, or since the last call; counts and peaks start anew.
   *
   * @throws {TensorError} `argument` once it is disposed.
   */
  take(): Rehearsed {
    const rehearsed = this.#ended ? null : native.takeRehearsed();
    if (rehearsed) return rehearsed as Rehearsed;
    throw TensorError.argument("rehearsal", "take", "called before it is disposed", "called after");
  }

  /** Computes again from the next operation on. */
  [Symbol.dispose](): void {
    if (this.#ended) return;
    this.#ended = true;
    native.endRehearsal();
  }
}
