import { describe, expect, test } from "bun:test";
import { appMain, TemporaryFolder } from "./run-app.ts";

describe("an interrupt", () => {
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    test(`by ${signal} in the middle of denoising ends with status 1 and leaves nothing`, async () => {
      using folder = new TemporaryFolder();
      const files = ["--save-latents", "a.safetensors", "--save-frames", "b.safetensors"];
      const child = Bun.spawn([process.execPath, appMain, "--steps", "1000", ...files], {
        cwd: folder.path,
        stdin: "ignore",
        stdout: "pipe",
        stderr: "pipe",
      });
      let told = "";
      const decoder = new TextDecoder();
      for await (const part of child.stderr) {
        const before = told;
        told += decoder.decode(part);
        if (!before.includes("step 2/") && told.includes("step 2/")) child.kill(signal);
      }
      expect(await child.exited).toBe(1);
      expect(told.trimEnd().split("\n").at(-1)).toBe(`error: stopped by ${signal}`);
      expect(told).not.toContain("step 1000/1000");
      expect(await new Response(child.stdout).text()).toBe("");
      expect(folder.names).toEqual([]);
    });
  }
});
