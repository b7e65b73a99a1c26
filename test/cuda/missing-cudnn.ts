import type { AttentionBackend } from "@wan-ts/attention";
import { isShortRun, testDevice } from "./test-device.ts";

/**
 * Why attention by cuDNN can't be tried on the device of these tests, or undefined where it can: it isn't
 * there, or it is NVIDIA's and the device is emulated. Runs that bring an emulated one say so by
 * `WAN_TEST_CUDNN=emulated`.
 *
 * @throws {Error} where an emulated one was brought and isn't found.
 */
export function missingCudnn(backend: AttentionBackend): string | undefined {
  const isEmulated = process.env.WAN_TEST_CUDNN === "emulated";
  if (isShortRun() && !isEmulated) return "the device is emulated, and no cuDNN with it";
  const request = {
    device: testDevice(),
    dtype: "bfloat16",
    headDim: 128,
    mask: false,
    logSumExp: true,
  } as const;
  const [refusal] = backend.refusals(request);
  if (refusal && isEmulated) throw new Error(refusal.found);
  return refusal?.found;
}
