import * as native from "@wan-ts/binding";
import type { Device } from "./dtype.ts";
import { callNative } from "./errors.ts";

/** A CUDA device. */
export interface CudaDevice {
  /** As the driver calls it. */
  readonly name: string;
  /** Such as `9.0`. */
  readonly computeCapability: string;
  readonly multiprocessors: number;
  readonly totalBytes: number;
  /** What other programs and this one have left. */
  readonly freeBytes: number;
  /** The code that its kernels run: compiled for its compute capability (`9.0`), or for any device (`ptx`). */
  readonly kernels: string;
}

/**
 * Opens a CUDA device, unless it is open, and tells about it. Tensors open theirs when they come to it;
 * a program that calls this first learns at once what is missing.
 *
 * @throws {TensorError} `device` where there is no driver or no such device, with what was tried;
 * `argument` for another device.
 */
export function openDevice(device: Device): CudaDevice {
  return callNative(() => native.openDevice(device));
}

/**
 * Lets go of a CUDA device and of what it holds for this process, waiting, blocking, for the stream; whoever
 * uses it next opens it again. For a program that has others compute.
 *
 * @throws {TensorError} `argument` while tensors are on any CUDA device, and for another device.
 */
export function closeDevice(device: Device): void {
  callNative(() => native.closeDevice(device));
}

/** How many CUDA devices there are: 0 where there is no driver, or it can't be used. */
export function countCudaDevices(): number {
  return native.countCudaDevices();
}
