import type { RunPlan, StagePlan } from "@wan-ts/wan";
import { formatSeconds } from "../progress.ts";

/** A plan as people read it. */
export function planTable(plan: RunPlan, refusal: string | undefined): string {
  const { sizes } = plan;
  const onDevice = plan.device !== "cpu";
  const videos = sizes.batch === 1 ? "" : `${sizes.batch} videos of `;
  const guidance = sizes.guidanceScale > 1 ? "two passes a step" : "one pass a step";
  return [
    `${videos}${sizes.numFrames} frames of ${sizes.width}×${sizes.height}, ${sizes.steps} steps, ${plan.dtype}; ${plan.tokens} tokens, ${guidance}`,
    "",
    ...table(
      ["part", "parameters", "read in place", "made on load", ...(onDevice ? [plan.device] : [])],
      [
        ...plan.parts.map(({ part, parameters, mappedBytes, allocatedBytes, deviceBytes }) => [
          part,
          formatCount(parameters),
          formatBytes(mappedBytes),
          formatBytes(allocatedBytes),
          ...(onDevice ? [formatBytes(deviceBytes)] : []),
        ]),
      ],
    ),
    "",
    ...table(
      ["stage", "tensors", "peak memory", ...(onDevice ? [plan.device] : []), "operations", "time"],
      plan.stages.map((stage) => [
        stage.stage,
        formatBytes(stage.peakTensorBytes),
        formatBytes(stage.peakResidentBytes),
        ...(onDevice ? [formatBytes(stage.peakDeviceBytes)] : []),
        `${formatCount(operationsOf(stage))}FLOP`,
        stage.seconds === undefined ? "" : formatSeconds(stage.seconds),
      ]),
    ),
    "",
    `memory  ${formatBytes(plan.peakResidentBytes)} at most, of ${formatBytes(plan.availableBytes)} that can be had${evictable(plan)}`,
    ...(onDevice ? [deviceLine(plan)] : []),
    `work    ${formatCount(plan.flops)}FLOP`,
    ...(plan.seconds === undefined
      ? []
      : [`time    about ${formatSeconds(plan.seconds)}, by the speed that this machine shows now`]),
    ...(refusal === undefined ? [] : ["", `This won't run: ${refusal}.`]),
    "",
  ].join("\n");
}

function deviceLine({ device, peakDeviceBytes, deviceAvailableBytes }: RunPlan): string {
  const had =
    deviceAvailableBytes === undefined ? "" : `, of ${formatBytes(deviceAvailableBytes)} that can be had`;
  return `${device}  ${formatBytes(peakDeviceBytes)} of tensors at most${had}`;
}

function evictable({ peakResidentBytes, neededBytes }: RunPlan): string {
  return neededBytes < peakResidentBytes
    ? `; ${formatBytes(neededBytes)} where the system takes back pages of weights that were read before`
    : "";
}

function operationsOf({ flops }: StagePlan): number {
  return Object.values(flops).reduce((sum, count) => sum + count, 0);
}

/** Columns in line: the first to the left, numbers to the right. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const lines = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...lines.map((line) => (line[column] ?? "").length)));
  return lines.map((line) =>
    line
      .map((cell, column) =>
        column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join("  ")
      .trimEnd(),
  );
}

/** Bytes as people read them: `512 KiB`, `1.5 GiB`. */
export function formatBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  const power = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 1024 ** power;
  return `${power === 0 || value >= 100 ? Math.round(value) : value.toPrecision(2 + (value >= 10 ? 1 : 0))} ${units[power]}`;
}

/** Counts as people read them: `1.30 G`. */
export function formatCount(count: number): string {
  const units = ["", "k", "M", "G", "T", "P", "E"];
  const power = count < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(count) / 3));
  return `${power === 0 ? count : (count / 1000 ** power).toPrecision(3)} ${units[power]}`;
}
