/**
 * JSON as it is written, so that a text can have what no value has: a key twice, a number too long for
 * a double, brackets that don't close.
 */
export type JsonTree =
  | { readonly kind: "literal"; readonly text: string }
  | { readonly kind: "array"; readonly items: JsonTree[] }
  | { readonly kind: "object"; readonly members: JsonMember[] };

/** A member of an object: its key as JSON writes it, quotes included, and its value. */
export interface JsonMember {
  key: string;
  value: JsonTree;
}

/** The tree of a value that `JSON.parse` gave. */
export function jsonTree(value: unknown): JsonTree {
  if (Array.isArray(value)) return { kind: "array", items: value.map(jsonTree) };
  if (typeof value === "object" && value !== null) {
    const members = Object.entries(value).map(([key, member]) => ({
      key: JSON.stringify(key),
      value: jsonTree(member),
    }));
    return { kind: "object", members };
  }
  return { kind: "literal", text: JSON.stringify(value) };
}

/** A tree as text. */
export function jsonText(tree: JsonTree): string {
  switch (tree.kind) {
    case "literal":
      return tree.text;
    case "array":
      return `[${tree.items.map(jsonText).join(",")}]`;
    case "object":
      return `{${tree.members.map(({ key, value }) => `${key}:${jsonText(value)}`).join(",")}}`;
  }
}
