import { createHash } from "node:crypto";
import type { EncoderCase } from "./encoder-cases.ts";

/** SHA-256 of an encoder's states of each input, type and shape included. */
export async function digestsOf({ encode }: EncoderCase): Promise<string[]> {
  const digests: string[] = [];
  for (const states of encode()) {
    using tensor = states;
    const hash = createHash("sha256").update(`${tensor.dtype} ${tensor.shape}`);
    digests.push(hash.update(await tensor.rawBytes()).digest("hex"));
  }
  return digests;
}
