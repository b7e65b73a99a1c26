import type { z } from "zod";
import { SchedulerConfigError, type SchedulerConfigProblem } from "../errors/scheduler-config-error.ts";
import { FLOW_MATCH_EULER_KEYS, flowMatchEulerSchema } from "./flow-match-euler-schema.ts";
import type { SchedulerConfig } from "./scheduler-config.ts";
import { UNI_PC_KEYS, uniPcSchema } from "./uni-pc-schema.ts";

interface SchedulerClass {
  readonly schema: z.ZodType<SchedulerConfig>;
  readonly ownKeys: readonly string[];
}

const SCHEDULER_CLASSES: ReadonlyMap<string, SchedulerClass> = new Map([
  ["UniPCMultistepScheduler", { schema: uniPcSchema, ownKeys: UNI_PC_KEYS }],
  ["FlowMatchEulerDiscreteScheduler", { schema: flowMatchEulerSchema, ownKeys: FLOW_MATCH_EULER_KEYS }],
]);

/**
 * Checks the parsed JSON of a scheduler_config.json and takes diffusers' default for what it leaves out.
 *
 * A config that diffusers made from that of the other class (`from_config`) still carries its keys; like diffusers
 * this reads none of them. Keys that begin with an underscore are diffusers' notes.
 *
 * @param json the parsed file
 * @param source the file's name, for the error
 * @throws SchedulerConfigError naming each unknown key, unsupported option and value out of bounds
 */
export function parseSchedulerConfig(json: unknown, source?: string): SchedulerConfig {
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new SchedulerConfigError([{ key: "the config", value: json, supported: "a JSON object" }], source);
  }
  const entries: Readonly<Record<string, unknown>> = { ...json };
  const className = entries._class_name;
  const schedulerClass = typeof className === "string" ? SCHEDULER_CLASSES.get(className) : undefined;
  if (schedulerClass === undefined) {
    const supported = [...SCHEDULER_CLASSES.keys()].join(" or ");
    throw new SchedulerConfigError([{ key: "_class_name", value: className, supported }], source);
  }
  const known = new Set([...SCHEDULER_CLASSES.values()].flatMap(({ ownKeys }) => ownKeys));
  const own = Object.fromEntries(
    Object.entries(entries).filter(
      ([key]) => !key.startsWith("_") && (schedulerClass.ownKeys.includes(key) || !known.has(key)),
    ),
  );
  const result = schedulerClass.schema.safeParse(own);
  if (result.success) return result.data;
  const problems = result.error.issues.flatMap((issue): SchedulerConfigProblem[] => {
    if (issue.code === "unrecognized_keys") {
      const supported = `only the keys ${schedulerClass.ownKeys.join(", ")}`;
      return issue.keys.map((key) => ({ key, value: own[key], supported }));
    }
    const key = String(issue.path[0]);
    return [{ key, value: own[key], supported: issue.message }];
  });
  throw new SchedulerConfigError(problems, source);
}
