import { expect, test } from "bun:test";
import { join } from "node:path";
import { expectOneLine, runApp, TemporaryFolder } from "./run-app.ts";

const main = join(import.meta.dir, "../../apps/wan/src/bench/main.ts");

test("the benchmarks write a table, and a JSON list with every field", async () => {
  using folder = new TemporaryFolder();
  const args = [
    "--only",
    "peak,attention",
    "--case",
    "257",
    "--runs",
    "1",
    "--threads",
    "1",
    "--json",
    "a.json",
  ];
  const { status, stdout } = await runApp(folder.path, args, { main });
  expect(status).toBe(0);
  expect(stdout.trimEnd().split("\n")).toHaveLength(5);
  const results = (await Bun.file(folder.file("a.json")).json()) as Record<string, unknown>[];
  expect(results.map(({ name, dtype }) => [name, dtype])).toEqual([
    ["peak", "bfloat16"],
    ["peak", "float32"],
    ["attention", "bfloat16"],
    ["attention", "float32"],
  ]);
  const number = expect.any(Number);
  for (const result of results) {
    expect(result).toEqual({
      name: expect.any(String),
      case: expect.any(String),
      dtype: expect.any(String),
      device: "cpu",
      threads: 1,
      ranks: 1,
      medianSeconds: number,
      minSeconds: number,
      runs: number,
      gflops: number,
      shareOfPeak: number,
      peakBytes: number,
    });
  }
});

test("the benchmarks refuse what they don't have, in one line", async () => {
  using folder = new TemporaryFolder();
  const refuse = async (args: readonly string[], told: readonly string[], env: Record<string, string> = {}) =>
    expectOneLine(await runApp(folder.path, args, { main, env }), 2, told);
  await refuse(["--only", "cache"], ["--only", "cache", "not available"]);
  await refuse(["--only", "peek"], ['did you mean "peak"']);
  await refuse(["--json", "none/a.json"], ["none/a.json"]);
  await refuse(["--only", "peak", "--peers"], ["--peers", "WAN_PEER_PYTHON"], {
    WAN_PEER_PYTHON: "/nonexistent/python",
  });
  // Runs, but isn't a Python that has torch.
  await refuse(["--only", "peak", "--peers"], ["--peers", "WAN_PEER_PYTHON"], { WAN_PEER_PYTHON: "true" });
  expect(folder.names).toEqual([]);
});
