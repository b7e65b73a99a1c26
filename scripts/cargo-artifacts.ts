import { resolve } from "node:path";

/**
 * Builds the emulated CUDA driver and returns the path of its library, which `WAN_CUDA_DRIVER` takes.
 *
 * @param profile `test` is what `cargo test` has built already; `release` is smaller.
 * @throws {Error} with cargo's status where it doesn't build; cargo's messages are on standard error.
 */
export async function buildEmulator(root: string, profile: "release" | "test" = "release"): Promise<string> {
  return await buildLibrary(root, "cuda-emulator", profile);
}

/**
 * Builds the emulated NCCL and returns the path of its library, which goes by the name `libnccl.so.2` in a
 * folder of `WAN_CUDA_LIBRARIES`.
 *
 * @throws {Error} as {@link buildEmulator}.
 */
export async function buildNcclEmulator(root: string): Promise<string> {
  return await buildLibrary(root, "nccl-emulator", "test");
}

/**
 * Builds the emulated cuDNN and returns the path of its library, which goes by the names `libcudnn.so.9` and
 * `libcublasLt.so.12` in a folder of `WAN_CUDA_LIBRARIES`.
 *
 * @throws {Error} as {@link buildEmulator}.
 */
export async function buildCudnnEmulator(root: string): Promise<string> {
  return await buildLibrary(root, "cudnn-emulator", "test");
}

/**
 * Builds what has NVIDIA's cuDNN make plans without a device; returns the program, and the driver that cuDNN
 * then wants, which goes by the name `libcuda.so.1`.
 *
 * @throws {Error} as {@link buildEmulator}.
 */
export async function buildCudnnPlans(root: string): Promise<{ program: string; driver: string }> {
  const line = ["build", "--profile", "test", "--package", "cuda", "--example"];
  const program = ({ executable }: Artifact): string | undefined => executable ?? undefined;
  return {
    program: await buildArtifact(root, [...line, "cudnn_plans"], program),
    driver: await buildArtifact(root, [...line, "idle_driver"], libraryOf),
  };
}

async function buildLibrary(root: string, crate: string, profile: string): Promise<string> {
  return await buildArtifact(root, ["build", "--profile", profile, "--package", crate, "--lib"], libraryOf);
}

function libraryOf({ filenames }: Artifact): string | undefined {
  return filenames.find((file) => /\.(so|dylib|dll)$/.test(file));
}

/**
 * Builds the test that compares operations on a CUDA device with the processor's, and returns the path of
 * its executable.
 *
 * @throws {Error} as {@link buildEmulator}.
 */
export async function buildDeviceTests(root: string): Promise<string> {
  return await buildArtifact(
    root,
    ["test", "--no-run", "--package", "tensor-runtime", "--test", "devices"],
    ({ executable }) => executable ?? undefined,
  );
}

/** A line of cargo's about something that it made. */
interface Artifact {
  readonly reason: string;
  readonly filenames: readonly string[];
  readonly executable: string | null;
}

async function buildArtifact(
  root: string,
  line: readonly string[],
  fileOf: (artifact: Artifact) => string | undefined,
): Promise<string> {
  const [command = "", ...rest] = line;
  const child = Bun.spawn(
    ["cargo", command, "--quiet", "--message-format=json-render-diagnostics", ...rest],
    {
      cwd: root,
      stdin: "ignore",
      stdout: "pipe",
      stderr: "inherit",
    },
  );
  const output = await new Response(child.stdout).text();
  const status = await child.exited;
  if (status !== 0) throw new Error(`cargo ${line.join(" ")} ended with status ${status}`);
  const files = output
    .split("\n")
    .filter((text) => text.startsWith("{"))
    .map((text) => JSON.parse(text) as Artifact)
    .filter(({ reason }) => reason === "compiler-artifact")
    .flatMap((artifact) => fileOf(artifact) ?? []);
  const file = files.at(-1);
  if (file === undefined) throw new Error(`cargo ${line.join(" ")} made no file of that kind`);
  return resolve(root, file);
}
