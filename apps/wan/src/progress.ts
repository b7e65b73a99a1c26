import type { StageEvent, StepEvent } from "@wan-ts/wan";

const stageLines: Record<StageEvent["stage"], string> = {
  encodePrompt: "encoding the prompt",
  encodeImage: "encoding the image",
  encodeCondition: "encoding the first frame",
  denoise: "denoising",
  decode: "decoding frames",
};

/** Where progress is written. */
export interface ProgressStream {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

/**
 * Tells how a run goes: on a terminal one line that is drawn over, elsewhere a plain line a stage
 * and a step, and nothing when quiet.
 */
export class Progress {
  readonly #stream: ProgressStream;
  readonly #quiet: boolean;
  readonly #stepSeconds: number[] = [];

  constructor(stream: ProgressStream, quiet: boolean) {
    this.#stream = stream;
    this.#quiet = quiet;
  }

  /** A line that stays. */
  line(text: string): void {
    if (this.#quiet) return;
    this.#stream.write(this.#stream.isTTY ? `\r\x1b[2K${text}\n` : `${text}\n`);
  }

  /** A stage began. */
  stageStarted(stage: StageEvent["stage"]): void {
    if (this.#quiet) return;
    this.#show(stageLines[stage]);
  }

  /** A step ended. */
  step(event: StepEvent): void {
    if (this.#quiet) return;
    this.#stepSeconds.push(event.seconds);
    const mean = this.#stepSeconds.reduce((sum, seconds) => sum + seconds, 0) / this.#stepSeconds.length;
    const left = mean * (event.steps - event.step);
    const width = 24;
    const filled = Math.round((width * event.step) / event.steps);
    const bar = this.#stream.isTTY ? `${"█".repeat(filled)}${"░".repeat(width - filled)} ` : "";
    this.#show(
      `${bar}step ${event.step}/${event.steps}  ${formatSeconds(mean)} a step  ${formatSeconds(left)} left`,
    );
  }

  /** Ends a line that is drawn over. */
  finish(): void {
    if (!this.#quiet && this.#stream.isTTY) this.#stream.write("\r\x1b[2K");
  }

  #show(text: string): void {
    this.#stream.write(this.#stream.isTTY ? `\r\x1b[2K${text}` : `${text}\n`);
  }
}

/** Seconds as people read them: `0.42 s`, `12 s`, `3 min 05 s`, `2 h 10 min`. */
export function formatSeconds(seconds: number): string {
  // Below this, two decimals round to less than 10.
  if (seconds < 9.995) return `${seconds.toFixed(2)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${String(whole % 60).padStart(2, "0")} s`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}
