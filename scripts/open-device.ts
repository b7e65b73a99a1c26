/**
 * Opens a CUDA device and prints what it is, as JSON; ends with status 2 and one line that says what is
 * missing where it can't be opened.
 *
 * Usage: bun scripts/open-device.ts cuda:N
 */
import { type Device, openDevice, TensorError } from "../packages/tensor/src/index.ts";

try {
  process.stdout.write(`${JSON.stringify(openDevice(process.argv[2] as Device))}\n`);
} catch (error) {
  if (!TensorError.isInstance(error)) throw error;
  process.stderr.write(`${error.found}\n`);
  process.exitCode = 2;
}
