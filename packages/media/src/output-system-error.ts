import { OutputError } from "./errors.ts";

/** The typed error of a failed file operation; typed errors come back as they are. */
export function outputError(error: unknown, path: string): OutputError {
  if (error instanceof OutputError) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  const cause = error;
  switch (code) {
    case "ENOSPC":
    case "EDQUOT":
    case "EFBIG": {
      const problem = {
        ENOSPC: "the disk is full",
        EDQUOT: "the disk quota is used up",
        EFBIG: "the file would be larger than the system allows",
      }[code];
      const remedy = "free some space or give another path";
      return new OutputError("diskFull", { path, problem, remedy, cause });
    }
    case "ENOENT": {
      const problem = "its folder is gone";
      return new OutputError("missingFolder", { path, problem, remedy: "make it again", cause });
    }
    case "EACCES":
    case "EPERM":
    case "EROFS": {
      const problem = code === "EROFS" ? "its file system is read-only" : "writing there is not allowed";
      const remedy = "change the permissions or give another path";
      return new OutputError("notWritable", { path, problem, remedy, cause });
    }
    case "EISDIR":
      return new OutputError("isDirectory", {
        path,
        problem: "there is a directory of that name",
        remedy: "give a file's name, or remove the directory",
        cause,
      });
    default:
      return new OutputError("writeFailed", { path, problem: message, remedy: "try another path", cause });
  }
}

/** Whether a file operation failed because there is no such entry. */
export function isMissing(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code;
  return code === "ENOENT" || code === "ENOTDIR";
}
