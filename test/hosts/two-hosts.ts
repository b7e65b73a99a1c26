import { join } from "node:path";

/** Runs a command on two hosts that this machine plays: kind of MPI, ranks a host, command. */
export const twoHosts = join(import.meta.dir, "two-hosts.sh");

/** Why this machine can't play two hosts; undefined where it can. */
export function twoHostsObstacle(): string | undefined {
  if (process.platform !== "linux") return "network namespaces are Linux's";
  for (const tool of ["ip", "unshare", "sysctl"])
    if (Bun.which(tool) === null) return `${tool} is not installed`;
  const name = `wan-probe-${process.pid}`;
  if (!Bun.spawnSync(["ip", "netns", "add", name]).success)
    return "this user may not make network namespaces";
  const parts = ["unshare", "--uts", "--ipc", "--pid", "--fork", "--mount-proc", "true"];
  const { success } = Bun.spawnSync(["ip", "netns", "exec", name, ...parts]);
  Bun.spawnSync(["ip", "netns", "delete", name]);
  return success ? undefined : "this user may not make namespaces of processes";
}
