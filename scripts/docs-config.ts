/**
 * Writes docs/config.md from the schema of configs and the table of flags.
 *
 * Usage: bun scripts/docs-config.ts
 */
import { dirname, join } from "node:path";
import { configJsonSchema } from "../apps/wan/src/config/schema.ts";
import { flagsOf } from "../apps/wan/src/flags.ts";

/** What a JSON schema says of a key, as far as the config's has it. */
interface KeySchema {
  readonly type?: "string" | "number" | "integer" | "boolean" | "object";
  readonly description?: string;
  readonly enum?: readonly string[];
  readonly const?: string;
  readonly anyOf?: readonly KeySchema[];
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly properties?: Readonly<Record<string, KeySchema>>;
}

const introduction = `# Config

<!-- Written by scripts/docs-config.ts from the schema and the flags; change those. -->

A config says what flags say: its keys are the flags in camelCase, grouped. \`bun run app\` reads
\`wan.config.ts\`, \`wan.config.js\` or \`wan.config.json\` in the working directory, or what \`--config FILE\`
names. Flags win over the file, the file over \`defaults.json\` beside the checkpoint. Paths are taken from
the config's folder. An unknown key is refused with the nearest one suggested, and a value that can't be
with what can.

\`\`\`ts config
// wan.config.ts
export default {
  prompt: "a red ball moves up on a sand background",
  steps: 12,
  attention: { backend: "native" },
  output: { file: "ball.mp4", json: true },
};
\`\`\`

As JSON, with a pointer by which editors complete and check keys:

\`\`\`json config
{
  "$schema": "./apps/wan/wan.config.schema.json",
  "prompt": "a red ball moves up on a sand background",
  "steps": 12,
  "attention": { "backend": "native" },
  "output": { "file": "ball.mp4", "json": true }
}
\`\`\`

A key whose flag this version doesn't have yet is refused by name; it is marked as _later_ here.

## Keys
`;

/** docs/config.md. */
export function configPage(): string {
  const { properties } = configJsonSchema() as { properties: Record<string, KeySchema> };
  const { $schema: _, ...keys } = properties;
  const groups = Object.entries(keys).filter(([, schema]) => schema.properties !== undefined);
  const single = Object.entries(keys).filter(([, schema]) => schema.properties === undefined);
  const sections = groups.map(
    ([group, { properties: inner = {} }]) =>
      `\n## Keys of \`${group}\`\n\n${table(Object.entries(inner), [group])}`,
  );
  return `${introduction}\n${table(single, [])}${sections.join("")}`;
}

function table(entries: readonly (readonly [string, KeySchema])[], group: readonly string[]): string {
  const rows = entries.map(([key, schema]) => {
    const flags = flagsOf([...group, key]);
    const names = flags.map(({ name, unavailable }) => `\`${name}\`${unavailable ? " (later)" : ""}`);
    const meaning = flags.map(({ help }) => help).join("; ") || (schema.description ?? "");
    return [`\`${key}\``, taken(schema), cell(meaning), names.join(", ")];
  });
  const heads = ["Key", "Takes", "Meaning", "Flag"];
  const widths = heads.map((head, column) =>
    Math.max(...[heads, ...rows].map((row) => (row[column] ?? head).length)),
  );
  const rule = widths.map((width) => "-".repeat(width));
  // Padded as the formatter of the repository pads tables.
  return [heads, rule, ...rows]
    .map((row) => `| ${row.map((text, column) => text.padEnd(widths[column] ?? 0)).join(" | ")} |\n`)
    .join("");
}

/** What a key takes, in words. */
function taken(schema: KeySchema): string {
  if (schema.anyOf !== undefined) return schema.anyOf.map(taken).join(", ");
  if (schema.const !== undefined) return `\`${JSON.stringify(schema.const)}\``;
  if (schema.enum !== undefined) return schema.enum.map((value) => `\`"${value}"\``).join(", ");
  switch (schema.type) {
    case "boolean":
      return "`true` or `false`";
    case "integer":
      return `whole number${range(schema)}`;
    case "number":
      return `number${range(schema)}`;
    case "string":
      return schema.pattern === undefined ? "text" : `text, \`${cell(schema.pattern)}\``;
    default:
      throw new TypeError(`the schema has a key of type ${schema.type}, which this page has no words for`);
  }
}

function range({ minimum, exclusiveMinimum, maximum }: KeySchema): string {
  const bounds = [
    ...(minimum === undefined ? [] : [`from ${minimum}`]),
    ...(exclusiveMinimum === undefined ? [] : [`above ${exclusiveMinimum}`]),
    // Integers stand in a schema with JavaScript's own limit where it names none.
    ...(maximum === undefined || maximum === Number.MAX_SAFE_INTEGER ? [] : [`at most ${maximum}`]),
  ];
  return bounds.length === 0 ? "" : `, ${bounds.join(", ")}`;
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|");
}

if (import.meta.main) await Bun.write(join(dirname(import.meta.dir), "docs", "config.md"), configPage());
