import { describe, expect, test } from "bun:test";
import { mkdir, readdir, readFile, readlink, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { outputFailure } from "../test/output-failure.ts";
import { temporaryFolder } from "../test/temporary-folder.ts";
import { removeTemporaries, writeDirectoryWhole, writeFileWhole } from "./write-whole.ts";

const bytes = (...values: number[]) => Uint8Array.from(values);

describe("writeFileWhole", () => {
  test("writes, replaces, and leaves nothing else behind", async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, "a.png");
    await writeFileWhole(path, bytes(1, 2));
    await writeFileWhole(path, bytes(3));
    expect([...(await readFile(path))]).toEqual([3]);
    expect(await readdir(folder.path)).toEqual(["a.png"]);
  });

  test("follows a link instead of replacing it", async () => {
    await using folder = await temporaryFolder();
    await mkdir(join(folder.path, "elsewhere"));
    const target = join(folder.path, "elsewhere/real.png");
    await writeFile(target, "old");
    await symlink(target, join(folder.path, "link.png"));
    await writeFileWhole(join(folder.path, "link.png"), bytes(7));
    expect([...(await readFile(target))]).toEqual([7]);
    expect(await readlink(join(folder.path, "link.png"))).toBe(target);
  });

  test("a failure after the first byte leaves the old file and no temporary one", async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, "a.png");
    await writeFile(path, "old");
    // The write itself fails: these are no bytes.
    const error = await outputFailure(writeFileWhole(path, Symbol("bytes") as unknown as Uint8Array));
    expect(error.code).toBe("writeFailed");
    expect(await readFile(path, "utf8")).toBe("old");
    expect(await readdir(folder.path)).toEqual(["a.png"]);
  });

  test("takes pieces, and leaves nothing where one fails", async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, "a.json");
    async function* pieces(fails: boolean) {
      yield bytes(1, 2);
      yield bytes();
      if (fails) throw new Error("no more");
      yield bytes(3);
    }
    await writeFileWhole(path, pieces(false));
    expect([...(await readFile(path))]).toEqual([1, 2, 3]);
    const error = await writeFileWhole(path, pieces(true)).catch((thrown: unknown) => thrown);
    expect(String(error)).toContain("no more");
    expect([...(await readFile(path))]).toEqual([1, 2, 3]);
    expect(await readdir(folder.path)).toEqual(["a.json"]);
  });

  test("a full disk is told as such, and leaves the old file", async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, "a.png");
    await writeFile(path, "old");
    // The system refuses files of more than 0 blocks to this child: the same path as a full disk.
    const module = join(import.meta.dir, "write-whole.ts");
    const script = `import { writeFileWhole } from ${JSON.stringify(module)};
      process.on("SIGXFSZ", () => {});
      const error = await writeFileWhole(${JSON.stringify(path)}, new Uint8Array(99999)).catch((e) => e);
      console.log(error.name, error.code);`;
    const child = Bun.spawn(["bash", "-c", 'ulimit -f 1; exec "$0" -e "$1"', process.execPath, script], {
      stdout: "pipe",
      stderr: "pipe",
    });
    expect(await new Response(child.stdout).text()).toBe("OutputError diskFull\n");
    expect(await readFile(path, "utf8")).toBe("old");
    expect(await readdir(folder.path)).toEqual(["a.png"]);
  });
});

describe("writeDirectoryWhole", () => {
  test("the directory appears when all files are there", async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, "frames");
    await writeDirectoryWhole(path, async (write) => {
      await write("000000.png", bytes(1));
      expect(await readdir(folder.path)).not.toContain("frames");
      await write("000001.png", bytes(2));
    });
    expect((await readdir(path)).toSorted()).toEqual(["000000.png", "000001.png"]);
    expect(await readdir(folder.path)).toEqual(["frames"]);
  });

  test("earlier frames are replaced, more of them than there are now too", async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, "frames");
    await mkdir(path);
    for (const name of ["000000.png", "000001.png"]) await writeFile(join(path, name), "old");
    await writeDirectoryWhole(`${path}/`, (write) => write("000000.png", bytes(5)));
    expect(await readdir(path)).toEqual(["000000.png"]);
    expect(await readdir(folder.path)).toEqual(["frames"]);
  });

  test("a failure leaves the earlier frames and nothing else", async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, "frames");
    await mkdir(path);
    await writeFile(join(path, "000000.png"), "old");
    const reason = new Error("no more frames");
    const writing = writeDirectoryWhole(path, async (write) => {
      await write("000000.png", bytes(1));
      throw reason;
    });
    expect(await writing.catch((error: unknown) => error)).toBe(reason);
    expect(await readFile(join(path, "000000.png"), "utf8")).toBe("old");
    expect(await readdir(folder.path)).toEqual(["frames"]);
  });

  test("a file that can't be written is an OutputError of the directory", async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, "frames");
    const error = await outputFailure(writeDirectoryWhole(path, (write) => write("none/0.png", bytes(1))));
    expect(error.path).toBe(path);
    expect(await readdir(folder.path)).toEqual([]);
  });

  test("a folder that vanishes meanwhile", async () => {
    await using folder = await temporaryFolder();
    await mkdir(join(folder.path, "parent"));
    const path = join(folder.path, "parent/frames");
    const error = await outputFailure(
      writeDirectoryWhole(path, async (write) => {
        await write("000000.png", bytes(1));
        await rm(join(folder.path, "parent"), { recursive: true });
      }),
    );
    expect(error.code).toBe("missingFolder");
  });
});

describe("removeTemporaries", () => {
  /** What a process leaves that is killed while it writes; returns its number. */
  async function leave(script: string): Promise<number> {
    const module = JSON.stringify(join(import.meta.dir, "write-whole.ts"));
    const child = Bun.spawn([process.execPath, "-e", `import * as whole from ${module}; ${script}`], {
      stdio: ["ignore", "ignore", "inherit"],
    });
    await child.exited;
    expect(child.signalCode).toBe("SIGKILL");
    return child.pid;
  }
  const die = `process.kill(process.pid, "SIGKILL"); await new Promise(() => {});`;

  test("removes what a killed process left, and nothing else", async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, "a.png");
    await writeFile(path, "old");
    await writeFile(join(folder.path, ".a.png.1-x.part"), "of another process");
    const pieces = `(async function* () { yield new Uint8Array(9); ${die} })()`;
    const pid = await leave(`await whole.writeFileWhole(${JSON.stringify(path)}, ${pieces});`);
    expect(await readdir(folder.path)).toHaveLength(3);
    await removeTemporaries(path, pid);
    expect((await readdir(folder.path)).toSorted()).toEqual([".a.png.1-x.part", "a.png"]);
    expect(await readFile(path, "utf8")).toBe("old");
  });

  test("removes a directory that was being filled", async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, "frames");
    const fill = `async (write) => { await write("000000.png", new Uint8Array(9)); ${die} }`;
    const pid = await leave(`await whole.writeDirectoryWhole(${JSON.stringify(path)}, ${fill});`);
    await removeTemporaries(path, pid);
    expect(await readdir(folder.path)).toEqual([]);
  });

  test("puts back a directory that was moved aside", async () => {
    await using folder = await temporaryFolder();
    await mkdir(join(folder.path, ".frames.7-x.replaced"));
    await mkdir(join(folder.path, ".frames.7-y.part"));
    await removeTemporaries(join(folder.path, "frames"), 7);
    expect(await readdir(folder.path)).toEqual(["frames"]);
    await removeTemporaries(join(folder.path, "none/frames"), 7);
  });
});
