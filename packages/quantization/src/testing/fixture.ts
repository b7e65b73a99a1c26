import { fileURLToPath } from "node:url";
import { openWeights, type WeightSource } from "@wan-ts/hub";

/** Opens what bitsandbytes answered; `scripts/fixtures/quantization.py` says what lies in it. */
export function openFixture(): Promise<WeightSource> {
  const file = fileURLToPath(new URL("../../fixtures/bitsandbytes.safetensors", import.meta.url));
  return openWeights({ folder: "fixtures", variant: undefined, files: [file], index: undefined });
}
