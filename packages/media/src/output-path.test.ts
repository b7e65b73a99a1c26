import { describe, expect, test } from "bun:test";
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { outputFailure } from "../test/output-failure.ts";
import { temporaryFolder } from "../test/temporary-folder.ts";
import { checkOutputPath } from "./output-path.ts";

describe("checkOutputPath", () => {
  test("tells what a path asks for", async () => {
    await using folder = await temporaryFolder();
    const kind = (name: string) => checkOutputPath(join(folder.path, name));
    expect(await kind("a.mp4")).toBe("mp4");
    expect(await kind("a.b.GIF")).toBe("gif");
    expect(await kind("a.png")).toBe("png");
    expect(await kind("frames")).toBe("directory");
    expect(await kind("frames.v2/")).toBe("directory");
    expect(await kind(".hidden")).toBe("directory");
    await mkdir(join(folder.path, "frames.v3"));
    expect(await kind("frames.v3")).toBe("directory");
  });

  test("an unknown extension is told the known ones", async () => {
    const error = await outputFailure(checkOutputPath("out.avi"));
    expect(error).toMatchObject({ code: "unknownExtension", path: "out.avi" });
    expect(error.message).toBe(
      'cannot write out.avi: ".avi" is no format that is written; use .mp4, .gif, .png, or a directory\'s name without a dot for frames',
    );
  });

  test("a missing folder, and a file in a folder's place", async () => {
    await using folder = await temporaryFolder();
    for (const name of ["none/a.mp4", "none/frames"]) {
      const error = await outputFailure(checkOutputPath(join(folder.path, name)));
      expect(error.code).toBe("missingFolder");
      expect(error.remedy).toBe(`make it first (mkdir -p ${join(folder.path, "none")})`);
    }
    await writeFile(join(folder.path, "file"), "");
    expect((await outputFailure(checkOutputPath(join(folder.path, "file/a.mp4")))).code).toBe("notAFolder");
    expect((await outputFailure(checkOutputPath(join(folder.path, "file")))).code).toBe("notAFolder");
  });

  test("a directory where a file is wanted, and a device", async () => {
    await using folder = await temporaryFolder();
    await mkdir(join(folder.path, "a.mp4"));
    expect((await outputFailure(checkOutputPath(join(folder.path, "a.mp4")))).code).toBe("isDirectory");
    await symlink("/dev/null", join(folder.path, "null.mp4"));
    expect((await outputFailure(checkOutputPath(join(folder.path, "null.mp4")))).code).toBe("notAFile");
  });

  test("a directory with other things than frames", async () => {
    await using folder = await temporaryFolder();
    await mkdir(join(folder.path, "frames"));
    expect(await checkOutputPath(join(folder.path, "frames"))).toBe("directory");
    await writeFile(join(folder.path, "frames/000001.png"), "");
    expect(await checkOutputPath(join(folder.path, "frames"))).toBe("directory");
    await writeFile(join(folder.path, "frames/.notes"), "");
    const error = await outputFailure(checkOutputPath(join(folder.path, "frames")));
    expect(error.code).toBe("directoryInUse");
    expect(error.message).toContain(".notes");
  });
});
