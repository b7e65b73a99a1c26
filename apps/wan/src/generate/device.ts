import { closeDevice, countCudaDevices, type Device, openDevice, TensorError } from "@wan-ts/tensor";
import { InputError } from "../input-error.ts";

/** Which process asks for a device, and what for. */
export interface DeviceUse {
  /** Its place among the ranks of its machine. */
  readonly localRank: number;
  /** What is only planned may be for a device that this machine hasn't got. */
  readonly purpose: "run" | "planned";
}

/**
 * The device that `--device` names: `cpu`, `cuda:N`, or `cuda`, of which the ranks of a machine take one each
 * in turn.
 * Where nothing is said, cuda if there is one.
 *
 * @throws {InputError} where there is no such device, with what is missing.
 */
export function chooseDevice(name: string | undefined, { localRank, purpose }: DeviceUse): Device {
  const count = countCudaDevices();
  if (name === "cpu" || (name === undefined && count === 0)) return "cpu";
  const device: Device =
    name?.startsWith("cuda:") === true ? (name as Device) : `cuda:${count > 0 ? localRank % count : 0}`;
  if (purpose === "planned") return device;
  try {
    openDevice(device);
  } catch (error) {
    if (!TensorError.isInstance(error)) throw error;
    throw new InputError(`--device ${name ?? device}: ${error.found}`, { cause: error });
  }
  return device;
}

/** What a CUDA device has left, or undefined on the processor and where there is no such device. */
export function freeDeviceBytes(device: Device | undefined): number | undefined {
  if (device === undefined || device === "cpu") return undefined;
  const index = Number(device.slice("cuda:".length));
  return index < countCudaDevices() ? openDevice(device).freeBytes : undefined;
}

/** How many of the ranks of this machine are on the device of the first. */
export function ranksOnDevice(name: string | undefined, ranksHere: number): number {
  if (name?.startsWith("cuda:") === true) return ranksHere;
  return Math.ceil(ranksHere / Math.max(1, countCudaDevices()));
}

/** Lets go of a device that others are to compute on. */
export function releaseDevice(device: Device | undefined): void {
  if (device !== undefined && device !== "cpu") closeDevice(device);
}
