import { memory, synchronize } from "@wan-ts/tensor";
import { ConformanceFailure } from "./conformance-failure.ts";

/**
 * Runs `body`, which disposes what it made and what it got.
 *
 * @throws {ConformanceFailure} where storages are left that weren't there before.
 */
export async function expectNoLeak(name: string, body: () => Promise<void>): Promise<void> {
  await synchronize();
  const before = memory().liveStorages;
  await body();
  await synchronize();
  const left = memory().liveStorages - before;
  if (left > 0) {
    throw new ConformanceFailure(name, {
      what: "what the backend keeps of a call",
      expected: "nothing but its results",
      found: `${left} storages that nobody disposed`,
    });
  }
}
