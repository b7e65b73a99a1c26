import { resolve } from "node:path";
import { saveTensors } from "@wan-ts/hub";
import {
  checkFileTarget,
  checkOutputPath,
  exportPng,
  exportToGif,
  exportToPngs,
  exportToVideo,
  type OutputKind,
} from "@wan-ts/media";
import { Tensor } from "@wan-ts/tensor";
import type { GenerateResult } from "@wan-ts/wan";
import type { Config } from "../config/schema.ts";
import { InputError } from "../input-error.ts";

/** The files that a run writes. */
export interface Outputs {
  readonly file: string;
  readonly kind: OutputKind;
  readonly saveLatents: string | undefined;
  readonly saveFrames: string | undefined;
  readonly trace: string | undefined;
}

/** Everything that a run may write. */
export function outputPaths({ file, saveLatents, saveFrames, trace }: Outputs): string[] {
  return [file, saveLatents, saveFrames, trace].filter((path) => path !== undefined);
}

/**
 * Makes sure, before heavy work, that every output can be written.
 *
 * @throws {OutputError}, {InputError}
 */
export async function checkOutputs(output: Config["output"] = {}): Promise<Outputs> {
  const { file = "out.mp4", saveLatents, saveFrames, trace } = output;
  const kind = await checkOutputPath(file);
  const taken = new Map([[resolve(file), "--output"]]);
  for (const [flag, extra] of [
    ["--save-latents", saveLatents],
    ["--save-frames", saveFrames],
    ["--trace", trace],
  ] as const) {
    if (extra === undefined) continue;
    await checkFileTarget(extra);
    const other = taken.get(resolve(extra));
    if (other !== undefined) throw new InputError(`${flag} and ${other} both name ${extra}`);
    taken.set(resolve(extra), flag);
  }
  return { file, kind, saveLatents, saveFrames, trace };
}

/**
 * Writes the video and the tensors of a run: the tensors first, as the video can be made from them
 * again. Each file is whole or not there.
 *
 * @throws {OutputError}, {SafetensorsError}, and the reason of `signal` once it aborts.
 */
export async function writeOutputs(
  { file, kind, saveLatents, saveFrames }: Outputs,
  { frames, latents }: GenerateResult,
  fps: number,
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted();
  if (saveLatents !== undefined) await saveTensors(saveLatents, { latents });
  if (saveFrames !== undefined) {
    using whole = Tensor.from(frames.data, [frames.numFrames, frames.height, frames.width, 3]);
    await saveTensors(saveFrames, { frames: whole });
  }
  switch (kind) {
    case "mp4":
      return exportToVideo(frames, file, { fps, signal });
    case "gif":
      return exportToGif(frames, file, { fps, signal });
    case "png":
      return exportPng(frames, 0, file);
    case "directory":
      return exportToPngs(frames, file, { signal });
  }
}
