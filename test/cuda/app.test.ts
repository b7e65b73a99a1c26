import { describe, expect, test } from "bun:test";
import { openWeights } from "@wan-ts/hub";
import { expectOneLine, runApp, TemporaryFolder } from "@wan-ts/test/app/run-app.ts";
import { testDevice } from "./test-device.ts";

const device = testDevice();
/** The driver at hand, which tests of the app are kept from otherwise; empty for the system's. */
const env = { WAN_CUDA_DRIVER: process.env.WAN_CUDA_DRIVER ?? "" };
/** A video as small as the models allow. */
const smallest = "--height 16 --width 16 --frames 5 --steps 1 --quiet --output out.png".split(" ");

/** Runs the app; what its last line says, and the latents that it saved. */
async function generate(args: readonly string[]) {
  using folder = new TemporaryFolder();
  const all = [...smallest, "--json", "--save-latents", "latents.safetensors", ...args];
  const { status, stdout, stderr } = await runApp(folder.path, all, { env });
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  const files = [folder.file("latents.safetensors")];
  using source = await openWeights({ folder: folder.path, variant: undefined, files, index: undefined });
  using latents = source.tensor("latents");
  const report = JSON.parse(stdout.trimEnd().split("\n").at(-1) ?? "{}") as Record<string, unknown>;
  return { report, latents: await latents.floats() };
}

describe(`the app on ${device}`, () => {
  test("uses the device by default, in bfloat16, and tells of its memory", async () => {
    const { report, latents } = await generate([]);
    expect(report).toMatchObject({ device: "cuda:0", dtype: "bfloat16", attention: "cuda" });
    const stages = Object.values(report.peakDeviceBytes as Record<string, number>);
    expect(stages.length).toBeGreaterThan(2);
    for (const bytes of stages) expect(bytes).toBeGreaterThan(0);
    expect(latents.every(Number.isFinite)).toBe(true);
  });

  test("makes one rank's latents on two, which share the device", async () => {
    const alone = await generate(["--device", device, "--dtype", "float32"]);
    const together = await generate(["--device", device, "--dtype", "float32", "--nproc", "2"]);
    expect(together.latents).toEqual(alone.latents);
  });

  test("refuses attention by cuDNN of what it hasn't in one line, before weights load", async () => {
    using folder = new TemporaryFolder();
    const all = [...smallest, "--device", device, "--dtype", "float32", "--attention", "cudnn"];
    const refused = await runApp(folder.path, all, { env });
    expectOneLine(refused, 2, ["cudnn: ", "dtype float32 (supported: bfloat16, float16)"]);
    expect(folder.names).toEqual([]);
  });

  test("refuses a device that isn't there in one line, before anything starts", async () => {
    using folder = new TemporaryFolder();
    const beyond = await runApp(folder.path, ["--device", "cuda:63"], { env });
    expectOneLine(beyond, 2, ["--device cuda:63"]);
    const none = { WAN_CUDA_DRIVER: "/nonexistent/libcuda.so" };
    const without = await runApp(folder.path, ["--device", "cuda"], { env: none });
    expectOneLine(without, 2, ["--device cuda", "no NVIDIA driver", "/nonexistent"]);
    expect(folder.names).toEqual([]);
  });
});
