import { type JsonTree, jsonText, jsonTree } from "./json-tree.ts";
import { mutateBytes } from "./mutate-bytes.ts";
import type { FuzzRandom } from "./random.ts";

/** Values that a config's reader may stumble over, as they are written; the last aren't JSON. */
const literals: readonly string[] = [
  ..."null true false 0 -0 -1 1 2 3 4 7 16 64 256 1000 65536 65537 0.5 -0.5 1e-7 1e-400 1e308 1e400 -1e400".split(
    " ",
  ),
  ..."2147483647 2147483648 4294967295 4294967296 9007199254740991 9007199254740993".split(" "),
  "18446744073709551615",
  "18446744073709551616",
  `1${"0".repeat(400)}`,
  '""',
  '"a"',
  '"\\u0000"',
  '"\\ud800"',
  '"\\u202e\\n\\u001b[31m"',
  '"../../etc/passwd"',
  '"/dev/zero"',
  '"__proto__"',
  '"NaN"',
  '"1"',
  "[]",
  "{}",
  "[[]]",
  "[0]",
  "[null,null]",
  '{"__proto__":{"polluted":true}}',
  "NaN",
  "Infinity",
  "01",
  "1.",
  "'a'",
  "",
];

/** Keys that objects of JavaScript have, or that sort and print badly. */
const keys: readonly string[] = [
  '"__proto__"',
  '"constructor"',
  '"toString"',
  '"hasOwnProperty"',
  '""',
  '"0"',
  '"length"',
  '"\\u0000"',
  '"\\ud800"',
  '"-"',
];

const depths = [1, 2, 10, 100, 1000, 20_000];
const counts = [2, 3, 10, 100, 2000];

/** A place in a tree whose value can be set. */
interface Slot {
  readonly parent: JsonTree | undefined;
  readonly index: number;
  get(): JsonTree;
  set(value: JsonTree): void;
}

/**
 * The text of `value`, or of the mutated value in one to three places: values replaced by extremes and
 * by one another, numbers nudged, keys doubled, renamed and left out, lists repeated, nesting without end;
 * and in one case of five faults of the bytes too, invalid UTF-8 among them.
 */
export function mutateJson(value: unknown, random: FuzzRandom): Uint8Array {
  let root = jsonTree(value);
  for (let left = 1 + random.below(3); left > 0; left--) {
    const setRoot = (tree: JsonTree): void => {
      root = tree;
    };
    mutateSlot(pickSlot(root, setRoot, random), root, random);
  }
  const bytes = new TextEncoder().encode(jsonText(root));
  return random.oneIn(5) ? mutateBytes(bytes, random) : bytes;
}

/** Walks down from the root, a random child at a time, so that rare shallow places come as often as deep ones. */
function pickSlot(root: JsonTree, setRoot: (tree: JsonTree) => void, random: FuzzRandom): Slot {
  let slot: Slot = { parent: undefined, index: 0, get: () => root, set: setRoot };
  for (;;) {
    const tree = slot.get();
    const size = tree.kind === "array" ? tree.items.length : tree.kind === "object" ? tree.members.length : 0;
    // The root itself once in many: most of its mutations end the parse at once.
    if (size === 0 || random.oneIn(slot.parent === undefined ? 50 : 4)) return slot;
    slot = slotOf(tree, random.below(size));
  }
}

function slotOf(parent: JsonTree, index: number): Slot {
  if (parent.kind === "array") {
    const { items } = parent;
    return {
      parent,
      index,
      get: () => items[index] as JsonTree,
      set: (value) => {
        items[index] = value;
      },
    };
  }
  if (parent.kind === "literal") throw new TypeError("a literal has no places");
  const member = parent.members[index] as (typeof parent.members)[number];
  return {
    parent,
    index,
    get: () => member.value,
    set: (value) => {
      member.value = value;
    },
  };
}

function mutateSlot(slot: Slot, root: JsonTree, random: FuzzRandom): void {
  const { parent } = slot;
  switch (random.below(10)) {
    case 0:
    case 1:
      slot.set(literal(random.pick(literals)));
      return;
    case 2:
    case 3:
      slot.set(nudged(slot.get(), random));
      return;
    case 4:
      // As text: the tree itself may hold the place that it is put in.
      slot.set(literal(jsonText(pickSlot(root, () => undefined, random).get())));
      return;
    case 5:
      slot.set(nested(slot.get(), random));
      return;
    case 6:
      if (parent?.kind === "object") parent.members.splice(slot.index, 1);
      else if (parent?.kind === "array") parent.items.splice(slot.index, 1);
      return;
    case 7:
      if (parent?.kind === "object") parent.members.push({ ...memberOf(parent, slot.index) });
      else if (parent?.kind === "array") repeatItem(parent.items, slot.index, random.pick(counts));
      return;
    case 8:
      if (parent?.kind === "object") memberOf(parent, slot.index).key = renamed(parent, slot.index, random);
      return;
    default:
      // Added at the end, where a reader that keeps the last of two keys would take it.
      if (parent?.kind === "object") {
        const { key } = memberOf(parent, slot.index);
        parent.members.push({ key, value: literal(random.pick(literals)) });
      } else slot.set(literal(random.pick(literals)));
  }
}

function literal(text: string): JsonTree {
  return { kind: "literal", text };
}

type JsonObject = Extract<JsonTree, { kind: "object" }>;

function memberOf(object: JsonObject, index: number): JsonObject["members"][number] {
  return object.members[index] as JsonObject["members"][number];
}

function renamed(object: JsonObject, index: number, random: FuzzRandom): string {
  const { key } = memberOf(object, index);
  switch (random.below(3)) {
    case 0:
      return random.pick(keys);
    case 1:
      return random.pick(object.members).key;
    default:
      return JSON.stringify(`${JSON.parse(key) as string}${random.pick(["_", "s", " ", "é"])}`);
  }
}

/** The most characters that a repetition adds: longer inputs take more time than they tell. */
const mostRepeated = 200_000;

function repeatItem(items: JsonTree[], index: number, count: number): void {
  const item = items[index] as JsonTree;
  const more = Math.min(count, Math.ceil(mostRepeated / (jsonText(item).length + 1)));
  for (let left = more; left > 0; left--) items.push(item);
}

/** A number near the one that stands there, a string like it, a list turned round. */
function nudged(tree: JsonTree, random: FuzzRandom): JsonTree {
  if (tree.kind === "array") return { kind: "array", items: tree.items.toReversed() };
  if (tree.kind === "object") return { kind: "object", members: tree.members.toReversed() };
  let value: unknown;
  try {
    value = JSON.parse(tree.text);
  } catch {
    return literal(random.pick(literals));
  }
  if (typeof value === "number") {
    const near = [
      value + 1,
      value - 1,
      -value,
      value * 2,
      value / 2,
      value * 1024,
      value + 0.5,
      value * 1e30,
    ];
    return literal(String(random.pick(near)));
  }
  if (typeof value === "string") {
    const near = [
      `${value}x`,
      value.slice(1),
      value.toUpperCase(),
      `${value}\0`,
      value.repeat(Math.min(200, Math.ceil(mostRepeated / (value.length + 1)))),
      ` ${value}`,
    ];
    return literal(JSON.stringify(random.pick(near)));
  }
  return literal(random.pick(literals));
}

/** The value within so many lists or objects that a reader which calls itself may run out of stack. */
function nested(tree: JsonTree, random: FuzzRandom): JsonTree {
  const depth = random.pick(depths);
  const [open, close] = random.pick([
    ["[", "]"],
    ['{"a":', "}"],
  ] as const);
  return literal(`${open.repeat(depth)}${jsonText(tree)}${random.oneIn(8) ? "" : close.repeat(depth)}`);
}
