import { setImmediate } from "node:timers/promises";

/** Options of every export. */
export interface ExportOptions {
  /** Stops the export between two frames, throwing the signal's reason; nothing is written then. */
  readonly signal?: AbortSignal;
}

/** Options of exports that move. */
export interface VideoExportOptions extends ExportOptions {
  /** Frames per second; need not be whole. */
  readonly fps: number;
}

/** Between two frames: lets timers and input have their turn, and stops where that is asked for. */
export async function betweenFrames(signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted();
  await setImmediate();
  signal?.throwIfAborted();
}
