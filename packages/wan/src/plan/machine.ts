import { readFile } from "node:fs/promises";
import { freemem } from "node:os";
import { add, instructionSet, measurePeak, synchronize, Tensor, threads } from "@wan-ts/tensor";

/** How fast a machine is. */
export interface MachineSpeed {
  /** The most floating-point operations a second of all threads, on registers alone. */
  readonly peak: {
    readonly float32: number;
    /** Undefined where 16-bit products are computed in float32. */
    readonly bfloat16: number | undefined;
  };
  /** Bytes a second that an operation reads and writes, together. */
  readonly bandwidth: number;
}

/** What a plan counts on. */
export interface Machine {
  /** Bytes that may be had without pushing anything out of memory but pages of files. */
  readonly availableBytes: number;
  /** Threads that share an operation. */
  readonly threads: number;
  /** The widest instruction set in use. */
  readonly instructionSet: string;
  /** Bytes that the CUDA device of the run can give, where there is one and that is known. */
  readonly deviceAvailableBytes?: number | undefined;
  /** Without it a plan tells no seconds. */
  readonly speed?: MachineSpeed;
}

/** Long enough for the clock to rise, short enough for nobody to wait. */
const peakSeconds = 0.04;
/** Larger than caches, so that memory is measured. */
const bandwidthBytes = 32 * 2 ** 20;
const bandwidthRounds = 4;

/** What this machine has, now. */
export async function describeMachine(): Promise<Machine> {
  return {
    availableBytes: await availableMemory(),
    threads: threads(),
    instructionSet: instructionSet(),
  };
}

/**
 * Measures the machine with the threads and the instruction set in use, in about a tenth of a second.
 * Nothing else may compute meanwhile.
 */
export async function measureSpeed(): Promise<MachineSpeed> {
  const float32 = (await measurePeak("float32", peakSeconds)) ?? 0;
  const bfloat16 = await measurePeak("bfloat16", peakSeconds);
  return {
    peak: { float32: float32 * 1e9, bfloat16: bfloat16 === undefined ? undefined : bfloat16 * 1e9 },
    bandwidth: await measureBandwidth(),
  };
}

/** Of the best of some rounds: other work on the machine can only slow it. */
async function measureBandwidth(): Promise<number> {
  using source = Tensor.zeros([bandwidthBytes / Float32Array.BYTES_PER_ELEMENT]);
  await synchronize();
  let best = 0;
  for (let round = 0; round < bandwidthRounds; round++) {
    const started = performance.now();
    using _sum = add(source, 1);
    await synchronize();
    best = Math.max(best, (2 * bandwidthBytes) / ((performance.now() - started) / 1000));
  }
  return best;
}

/**
 * Bytes that this process may still have: what the system has free or can take from pages of files,
 * within the limits of its control group.
 */
export async function availableMemory(): Promise<number> {
  const meminfo = await readFile("/proc/meminfo", "utf8").catch(() => "");
  const available = /^MemAvailable:\s+(\d+) kB/m.exec(meminfo)?.[1];
  const system = available === undefined ? freemem() : Number(available) * 1024;
  return Math.min(system, ...(await groupLimits()));
}

/** What each limit of control groups, version 2 and 1, leaves. */
async function groupLimits(): Promise<number[]> {
  const groups = await readFile("/proc/self/cgroup", "utf8").catch(() => "");
  const left: number[] = [];
  for (const [, controllers, path] of groups.matchAll(/^\d+:([^:]*):(.*)$/gm)) {
    const second = controllers === "";
    if (!second && !controllers?.split(",").includes("memory")) continue;
    const root = second ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory";
    const [limitFile, usageFile] = second
      ? ["memory.max", "memory.current"]
      : ["memory.limit_in_bytes", "memory.usage_in_bytes"];
    // In a container the group's own path isn't there, and its root is the group.
    for (const folder of new Set([`${root}${path}`, root])) {
      const limit = await readNumber(`${folder}/${limitFile}`);
      const usage = await readNumber(`${folder}/${usageFile}`);
      if (limit === undefined || usage === undefined) continue;
      left.push(limit - usage + (await filePages(`${folder}/memory.stat`)));
    }
  }
  return left;
}

async function readNumber(file: string): Promise<number | undefined> {
  const text = (await readFile(file, "utf8").catch(() => "")).trim();
  return /^\d+$/.test(text) ? Number(text) : undefined;
}

/** Bytes of a group's pages of files, which go when memory is needed. */
async function filePages(file: string): Promise<number> {
  const text = await readFile(file, "utf8").catch(() => "");
  return ["inactive_file", "active_file"].reduce((sum, name) => {
    return sum + Number(new RegExp(`^${name} (\\d+)$`, "m").exec(text)?.[1] ?? 0);
  }, 0);
}
