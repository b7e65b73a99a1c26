import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Counts } from "./count-tests.ts";
import { runShown } from "./run-shown.ts";

/** What NVIDIA's compute-sanitizer looks for: accesses, races, barriers, and reads of what nobody wrote. */
const tools = ["memcheck", "racecheck", "synccheck", "initcheck"] as const;

/** The status that the sanitizer ends with where it found something. */
const foundSomething = 86;

/** Where NVIDIA's compute-sanitizer is: on the path, or in the toolkit. */
function findSanitizer(environment: Readonly<Record<string, string | undefined>>): string | undefined {
  const onPath = Bun.which("compute-sanitizer", { PATH: environment.PATH ?? "" });
  if (onPath) return onPath;
  const toolkits = [environment.CUDA_HOME, environment.CUDA_PATH, "/usr/local/cuda"];
  return toolkits
    .flatMap((folder) => (folder ? [join(folder, "bin", "compute-sanitizer")] : []))
    .find((file) => existsSync(file));
}

/**
 * Runs the tests of attention under each of the sanitizer's tools: a test each, skipped where the
 * sanitizer isn't installed.
 *
 * @param executable the Rust tests of operations on a device.
 */
export async function sanitizeAttention(
  executable: string,
  options: { readonly cwd: string; readonly env: Readonly<Record<string, string | undefined>> },
): Promise<{ readonly counts: Counts; readonly failures: readonly string[] }> {
  const sanitizer = findSanitizer(options.env);
  if (sanitizer === undefined) {
    process.stdout.write("compute-sanitizer is not installed (it comes with the CUDA toolkit): skipped\n");
    return { counts: { passed: 0, failed: 0, skipped: tools.length }, failures: [] };
  }
  const failures: string[] = [];
  for (const tool of tools) {
    const line = [sanitizer, "--tool", tool, "--error-exitcode", `${foundSomething}`];
    const { status } = await runShown([...line, executable, "--test-threads", "1", "attention"], {
      ...options,
      timeout: 900_000,
    });
    if (status !== 0) failures.push(`compute-sanitizer --tool ${tool} ended with status ${status}`);
  }
  return {
    counts: { passed: tools.length - failures.length, failed: failures.length, skipped: 0 },
    failures,
  };
}
