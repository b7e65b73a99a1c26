import { expect } from "bun:test";
import { OutputError } from "../src/errors.ts";

/** The {@link OutputError} that a promise is rejected with. */
export async function outputFailure(writing: Promise<unknown>): Promise<OutputError> {
  const error: unknown = await writing.catch((caught: unknown) => caught);
  expect(error).toBeInstanceOf(OutputError);
  return error as OutputError;
}
