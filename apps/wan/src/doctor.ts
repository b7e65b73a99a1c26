import { arch, availableParallelism, cpus, platform, release, totalmem } from "node:os";
import { availableInstructionSets, instructionSet, threads } from "@wan-ts/tensor";
import { defaultAttentionRegistry } from "@wan-ts/wan";
import packageFile from "../package.json";
import { type CudaDiagnosis, describeCuda, diagnoseCuda } from "./doctor-cuda.ts";

/** What the machine has for wan-ts. */
export interface Diagnosis {
  readonly version: string;
  readonly bun: string;
  readonly system: string;
  readonly cpu: {
    readonly model: string;
    readonly cores: number;
    readonly threads: number;
    readonly instructionSets: readonly string[];
    readonly used: string;
  };
  readonly memoryGiB: number;
  /** Those that `--device` takes. */
  readonly devices: readonly string[];
  readonly cuda: CudaDiagnosis;
  readonly attentionBackends: readonly string[];
}

/** Looks at the machine. */
export function diagnose(): Diagnosis {
  const cuda = diagnoseCuda();
  const usable = cuda.devices.filter(({ problem }) => problem === undefined);
  return {
    version: packageFile.version,
    bun: Bun.version,
    system: `${platform()} ${release()} ${arch()}`,
    cpu: {
      model: cpus()[0]?.model ?? "unknown",
      cores: availableParallelism(),
      threads: threads(),
      instructionSets: availableInstructionSets(),
      used: instructionSet(),
    },
    memoryGiB: totalmem() / 2 ** 30,
    devices: ["cpu", ...usable.map(({ device }) => device)],
    cuda,
    attentionBackends: defaultAttentionRegistry().names,
  };
}

/** Prints the diagnosis, as text or JSON. */
export function doctor(json: boolean): void {
  const found = diagnose();
  process.stdout.write(json ? `${JSON.stringify(found)}\n` : describe(found));
}

function describe(found: Diagnosis): string {
  const { cpu } = found;
  const advice =
    cpu.used === "portable"
      ? "portable kernels only: this processor has neither AVX2 nor AVX-512, expect low speed"
      : cpu.used === "avx512bf16"
        ? "the fastest kernels run, bfloat16 products included"
        : "bfloat16 is computed in float32: use --dtype float32 for speed";
  const rows: readonly (readonly [string, string])[] = [
    ["wan-ts", found.version],
    ["Bun", found.bun],
    ["system", found.system],
    ["processor", `${cpu.model}, ${cpu.cores} cores at hand`],
    ["instructions", `${cpu.instructionSets.join(", ")} (uses ${cpu.used}: ${advice})`],
    ["threads", `${cpu.threads}`],
    ["memory", `${found.memoryGiB.toFixed(1)} GiB`],
    ["devices", found.devices.join(", ")],
    ...describeCuda(found.cuda),
    ["attention", found.attentionBackends.join(", ")],
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `${name.padEnd(width)}  ${value}\n`).join("");
}
