/** Where `bun run app` says which process it is, to the app that it starts. Others have no business here. */
const parentVariable = "WAN_APP_PARENT";
const lookEveryMilliseconds = 200;

/**
 * Calls `ended` once the front door of `bun run app` is gone, where this process came through it: killed
 * outright, it takes nothing along, and whoever killed it expects that everything ends.
 */
export function watchFrontDoor(ended: () => void): void {
  const parent = Number(process.env[parentVariable]);
  // Processes that this one starts have another parent.
  delete process.env[parentVariable];
  if (!Number.isInteger(parent)) return;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    ended();
  }, lookEveryMilliseconds);
  timer.unref();
}
