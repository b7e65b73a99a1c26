/** How {@link runShown} starts a command. */
export interface ShownOptions {
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Milliseconds after which the command is ended. */
  readonly timeout?: number;
}

/** Runs a command, showing its output as it comes; returns its status, null where it was ended, and output. */
export async function runShown(
  line: readonly string[],
  { cwd, env = process.env, timeout }: ShownOptions,
): Promise<{ readonly status: number | null; readonly output: string }> {
  const child = Bun.spawn([...line], {
    cwd,
    env: { ...env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
    ...(timeout === undefined ? {} : { timeout }),
  });
  let output = "";
  const decoder = new TextDecoder();
  for await (const chunk of child.stdout) {
    process.stdout.write(chunk);
    output += decoder.decode(chunk, { stream: true });
  }
  await child.exited;
  return { status: child.exitCode, output };
}
