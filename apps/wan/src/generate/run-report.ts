import { resolve } from "node:path";
import type { DeviceCollectives } from "@wan-ts/distributed";
import type {
  GenerateResult,
  StageEvent,
  WanImageToVideoPipeline,
  WanTextToVideoPipeline,
} from "@wan-ts/wan";
import type { Outputs } from "./outputs.ts";

/** What ranks took and exchanged. */
export interface RanksReport {
  /** A {@link RankFacts} a rank. */
  readonly ranks: readonly unknown[];
  /** Of this rank, as {@link collectivesByKind} has them. */
  readonly collectives: Readonly<Record<string, unknown>>;
  /** How the ranks' CUDA devices exchange; undefined where none do. */
  readonly deviceCollectives: DeviceCollectives | undefined;
}

/** Collects what a run took, for `--json`. */
export class RunReport {
  readonly #started = performance.now();
  readonly #seconds: Record<string, number> = {};
  readonly #peakTensorBytes: Record<string, number> = {};
  readonly #peakDeviceBytes: Record<string, number> = {};

  /** Seconds since the report was made. */
  get totalSeconds(): number {
    return (performance.now() - this.#started) / 1000;
  }

  /** Runs `body` and notes its seconds under `name`. */
  async time<T>(name: string, body: () => Promise<T>): Promise<T> {
    const started = performance.now();
    const result = await body();
    this.#seconds[name] = (performance.now() - started) / 1000;
    return result;
  }

  /** Notes what a stage of the pipeline took. */
  stageEnded({ stage, seconds, peakBytes, peakDeviceBytes }: StageEvent): void {
    this.#seconds[stage] = seconds;
    this.#peakTensorBytes[stage] = peakBytes;
    this.#peakDeviceBytes[stage] = peakDeviceBytes;
  }

  /**
   * The object that `--json` prints; sizes in bytes, times in seconds.
   *
   * @param ranks what each rank took.
   * @param collectives of this rank.
   */
  toJson(
    outputs: Outputs,
    pipeline: WanImageToVideoPipeline | WanTextToVideoPipeline,
    { frames }: GenerateResult,
    { ranks, collectives, deviceCollectives }: RanksReport,
  ): Record<string, unknown> {
    const whole = (file: string | undefined): string | null => (file === undefined ? null : resolve(file));
    return {
      output: resolve(outputs.file),
      latents: whole(outputs.saveLatents),
      savedFrames: whole(outputs.saveFrames),
      trace: whole(outputs.trace),
      frames: frames.numFrames,
      height: frames.height,
      width: frames.width,
      dtype: pipeline.dtype,
      device: pipeline.device,
      attention: pipeline.transformer.attentionBackend,
      seconds: { total: this.totalSeconds, ...this.#seconds },
      weightBytes: pipeline.weightBytes,
      peakTensorBytes: this.#peakTensorBytes,
      peakDeviceBytes: this.#peakDeviceBytes,
      ranks,
      collectives,
      ...(deviceCollectives ? { deviceCollectives } : {}),
    };
  }
}
