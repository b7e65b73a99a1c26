import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import * as attention from "@wan-ts/attention";
import * as contextParallel from "@wan-ts/context-parallel";
import * as distributed from "@wan-ts/distributed";
import * as hub from "@wan-ts/hub";
import * as media from "@wan-ts/media";
import * as models from "@wan-ts/models";
import * as nn from "@wan-ts/nn";
import * as schedulers from "@wan-ts/schedulers";
import * as tensor from "@wan-ts/tensor";
import * as text from "@wan-ts/text";
import * as wan from "@wan-ts/wan";
import { configPage } from "../../scripts/docs-config.ts";
import { fixtureCases } from "../fixture-cases.ts";
import { documents, documentText, root } from "./code-blocks.ts";

test("docs/config.md is that of the schema and the flags (bun scripts/docs-config.ts writes it)", () => {
  expect(documentText("docs/config.md")).toBe(configPage());
});

/** The cells of a page's table rows whose first cell is a single name in code. */
function namedRows(page: string): string[][] {
  return Array.from(documentText(page).matchAll(/^\| `([^`]+)` +\|(.*)\|$/gm), ([, name = "", rest = ""]) => [
    name,
    ...rest.split("|").map((cell) => cell.trim()),
  ]);
}

describe("docs/models.md", () => {
  const rows = new Map(
    namedRows("docs/models.md").map(([name = "", , dtype, size, latents, frames]) => [
      name,
      { dtype, size, distances: [Number(latents), Number(frames)] },
    ]),
  );

  test("has a row for every fixture, and none for others", () => {
    const names = readdirSync(join(root, "test/fixtures")).toSorted();
    expect([...rows.keys()].toSorted()).toEqual(names);
  });

  for (const { name, params } of fixtureCases()) {
    test(`says of ${name} what was run, and a distance that its test holds it to`, () => {
      const { width, height, num_frames: frames, num_inference_steps: steps, dtype } = params;
      const row = rows.get(name);
      expect(row).toMatchObject({ dtype, size: `${width} × ${height} × ${frames}, ${steps}` });
      const limit = dtype === "float32" ? 5e-6 : 0.03;
      for (const distance of row?.distances ?? [Number.NaN]) {
        expect(distance).toBeGreaterThan(0);
        expect(distance).toBeLessThan(limit);
      }
    });
  }
});

test("docs/library.md lists every error class that packages export", () => {
  const packages = {
    attention,
    "context-parallel": contextParallel,
    distributed,
    hub,
    media,
    models,
    nn,
    schedulers,
    tensor,
    text,
    wan,
  };
  // A class belongs to the first package that exports it; others hand it on.
  const seen = new Set<unknown>();
  const exported = Object.entries(packages).flatMap(([name, exports]) =>
    Object.entries(exports)
      .filter(
        ([, value]) => typeof value === "function" && value.prototype instanceof Error && !seen.has(value),
      )
      .map(([errorClass, value]) => {
        seen.add(value);
        return `${errorClass} of ${name}`;
      }),
  );
  const listed = namedRows("docs/library.md")
    .filter(([name]) => name?.endsWith("Error"))
    .map(([name, from]) => `${name} of ${from?.replaceAll("`", "")}`);
  expect(listed.toSorted()).toEqual(exported.toSorted());
});

test("documents link to files that are there", () => {
  const broken = documents.flatMap((document) =>
    [...documentText(document).matchAll(/\]\((?!https?:)([^)#]+)/g)]
      .map(([, target = ""]) => join(dirname(document), target))
      .filter((target) => !existsSync(join(root, target))),
  );
  expect(broken).toEqual([]);
});
