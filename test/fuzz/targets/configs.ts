import { cp, mkdir, readdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { HubError } from "@wan-ts/hub";
import { PreprocessorConfigError } from "@wan-ts/media";
import { ConfigError } from "@wan-ts/models";
import { SchedulerConfigError, SchedulerStepsError } from "@wan-ts/schedulers";
import { CheckpointError, openCheckpoint, type WanCheckpoint } from "@wan-ts/wan";
import { accepted, BrokenPromise, type FuzzInput, type FuzzTarget, refusalOf } from "../fuzz-target.ts";
import { mutateJson } from "../mutate-json.ts";

const fixtures = join(import.meta.dir, "../../fixtures");
const typed = [HubError, ConfigError, SchedulerConfigError, PreprocessorConfigError, CheckpointError];

/** Above every bound that the configs' schemas set. */
const largestNumber = 2 ** 31;
const longestList = 100_000;
const deepestValue = 6;
const steps = 7;

/**
 * Every JSON config of a model directory, opened as a whole: a refusal that names the file, or a
 * checkpoint whose numbers are all within bounds and whose scheduler makes a falling schedule.
 */
export const configsTarget: FuzzTarget = {
  name: "configs",
  maxResidentBytes: 1 << 30,
  async open(folder) {
    const configs: { readonly place: string; readonly path: string; readonly json: unknown }[] = [];
    for (const fixture of await readdir(fixtures)) {
      const model = join(fixtures, fixture, "model");
      for await (const place of new Bun.Glob("**/*{config,index}.json").scan(model)) {
        const path = join(folder, fixture, place);
        await mkdir(dirname(path), { recursive: true });
        await cp(join(model, place), path);
        configs.push({ place: `${fixture}/${place}`, path, json: await Bun.file(path).json() });
      }
      // Its folder is asked for; its files are another target's.
      await mkdir(join(folder, fixture, "tokenizer"), { recursive: true });
    }
    configs.sort((a, b) => (a.place < b.place ? -1 : 1));
    return {
      input(random) {
        const { place, json } = random.pick(configs);
        return { place, bytes: mutateJson(json, random) };
      },
      async run({ place, bytes }: FuzzInput) {
        const path = join(folder, place);
        const whole = await Bun.file(path).bytes();
        await Bun.write(path, bytes);
        try {
          const [fixture] = place.split("/") as [string];
          checkBounds(await openCheckpoint(join(folder, fixture)));
          return accepted;
        } catch (error) {
          return refusalOf(error, typed);
        } finally {
          await Bun.write(path, whole);
        }
      },
    };
  },
};

function checkBounds(checkpoint: WanCheckpoint): void {
  const { transformer, textEncoder, vae, imageEncoder, scheduler, sizeMultiple, directory } = checkpoint;
  const { className, boundaryRatio, expandTimesteps } = directory.index;
  const values = {
    transformer,
    textEncoder,
    vae,
    imageEncoder,
    sizeMultiple,
    className,
    boundaryRatio,
    expandTimesteps,
  };
  checkValue("checkpoint", { ...values, scheduler: scheduler.config }, 0);
  if ("polluted" in {}) throw new BrokenPromise("Object.prototype was written to");
  try {
    const { sigmas, timesteps } = scheduler.schedule(steps);
    if (
      timesteps.length !== steps ||
      sigmas.length !== steps + 1 ||
      ![...sigmas, ...timesteps].every(Number.isFinite)
    ) {
      throw new BrokenPromise(`a schedule of sigmas ${sigmas.join(", ")}`);
    }
  } catch (error) {
    if (!(error instanceof SchedulerStepsError)) throw error;
  }
}

function checkValue(name: string, value: unknown, depth: number): void {
  if (typeof value === "number" && !(Math.abs(value) <= largestNumber))
    throw new BrokenPromise(`${name} is ${value}`);
  if (typeof value !== "object" || value === null) return;
  const entries = Object.entries(value);
  if (depth > deepestValue || entries.length > longestList) throw new BrokenPromise(`${name} has no bounds`);
  for (const [key, inner] of entries) checkValue(`${name}.${key}`, inner, depth + 1);
}
