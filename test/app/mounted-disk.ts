import { mkdirSync } from "node:fs";
import { appMain, TemporaryFolder } from "./run-app.ts";

/**
 * A command line that mounts a file system of its own at `disk`, fills it with so many bytes, runs
 * the command after it there, and lists what was added. The mount is in a namespace of that process
 * alone.
 */
export function mounted(options: string, filledBytes = 0): readonly string[] {
  const fill = filledBytes > 0 ? `head -c ${filledBytes} /dev/zero > disk/filler &&` : "";
  const script = `mount -t tmpfs -o ${options} none disk && ${fill} "$@"; status=$?; ls -A disk | grep -v filler; exit $status`;
  return ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, appMain];
}

/** Whether this system lets a process have mounts of its own: some, and some containers, don't. */
export function canMount(): boolean {
  if (process.platform !== "linux" || !Bun.which("unshare")) return false;
  using folder = new TemporaryFolder();
  mkdirSync(folder.file("disk"));
  const probe = Bun.spawnSync([...mounted("size=4k"), "true"], { cwd: folder.path });
  return probe.exitCode === 0;
}
