import type { FuzzTarget } from "../fuzz-target.ts";
import { appConfigTarget } from "./app-config.ts";
import { configsTarget } from "./configs.ts";
import { imagesTarget } from "./images.ts";
import { safetensorsTarget } from "./safetensors.ts";
import { tokenizerTarget } from "./tokenizer.ts";

/** Every reader of what strangers write. */
export const fuzzTargets: readonly FuzzTarget[] = [
  safetensorsTarget,
  configsTarget,
  tokenizerTarget,
  imagesTarget,
  appConfigTarget,
];
