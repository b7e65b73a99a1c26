import { describe, expect, test } from "bun:test";
import { InputError } from "../input-error.ts";
import { type BenchRequest, parseBenchArguments } from "./arguments.ts";
import { families, unavailableNames } from "./families.ts";

function refusal(...argv: string[]): string {
  try {
    parseBenchArguments(argv);
  } catch (error) {
    expect(error).toBeInstanceOf(InputError);
    return (error as InputError).message;
  }
  throw new Error(`${argv.join(" ")} was taken`);
}

describe("parseBenchArguments", () => {
  test("runs everything by default", () => {
    const { only, peers, json, threads, filter } = parseBenchArguments([]) as BenchRequest;
    expect(only).toEqual(["peak", ...families.map((family) => family.name)]);
    expect({ peers, json, threads, filter }).toEqual({
      peers: false,
      json: undefined,
      threads: undefined,
      filter: "",
    });
  });

  test("takes kernels to compare, on a CUDA device and alone", () => {
    const argv = ["--device", "cuda", "--kernels", "plain,pipelined"];
    expect(parseBenchArguments(argv)).toMatchObject({ kernels: ["plain", "pipelined"] });
    expect(parseBenchArguments([])).toMatchObject({ kernels: undefined });
    expect(refusal("--kernels", "plain")).toContain("--device cuda");
    expect(refusal(...argv, "--only", "attention")).toContain("no --only");
  });

  test("takes names, threads, runs and a file", () => {
    const argv =
      "--only peak,linear --case 1536 --threads 1 --device cpu --runs 7 --json a.json --peers".split(" ");
    expect(parseBenchArguments(argv)).toMatchObject({
      only: ["peak", "linear"],
      filter: "1536",
      threads: 1,
      json: "a.json",
      peers: true,
      repeats: { runs: 7 },
    });
  });

  test("says which names are not available yet, and which don't exist", () => {
    for (const name of unavailableNames) {
      expect(refusal("--only", `linear,${name}`)).toBe(
        `--only: ${name} is not available in this version of wan-ts`,
      );
    }
    expect(refusal("--only", "linaer")).toBe(
      '--only: there is no benchmark "linaer"; did you mean "linear"?',
    );
    expect(refusal("--only", "everything")).toContain("vae-decode");
  });

  test("refuses numbers and devices that can't be", () => {
    expect(refusal("--threads", "0")).toBe('--threads must be a whole number from 1 to 1024, but is "0"');
    expect(refusal("--runs", "few")).toContain("--runs");
    expect(refusal("--device", "gpu")).toBe('--device must be cpu or cuda[:N], but is "gpu"');
    expect(refusal("--peer")).toContain("--peers");
  });

  test("runs on a CUDA device what can run there", () => {
    const { device, only } = parseBenchArguments(["--device", "cuda:1"]) as BenchRequest;
    expect(device).toBe("cuda:1");
    expect(only).toEqual([
      "peak",
      ...families.filter(({ cases }) => cases.length > 0).map(({ name }) => name),
    ]);
    expect(refusal("--device", "cuda", "--only", "linear,ranks")).toBe(
      "--only: ranks runs on --device cpu alone",
    );
  });

  test("helps", () => {
    expect(parseBenchArguments(["--help"])).toMatchObject({ help: expect.stringContaining("--peers") });
  });
});
