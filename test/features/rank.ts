/**
 * A rank of the tests: splits encoders by features, and writes what they compute as lines of JSON.
 *
 * Usage: bun test/features/rank.ts
 */

import { strict as assert } from "node:assert";
import { splitFeaturesOverRanks } from "@wan-ts/context-parallel";
import { joinRanks } from "@wan-ts/distributed";
import { Module, weightBytes } from "@wan-ts/nn";
import { memory, synchronize } from "@wan-ts/tensor";
import { digestsOf } from "./digests-of.ts";
import { type EncoderCase, encoderCases } from "./encoder-cases.ts";
import { expectedGathers } from "./expected-gathers.ts";
import type { Gathers, RankLine } from "./rank-line.ts";

function write(line: RankLine): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

/** What of a tree a split changes: hooks, and what parameters are narrowed to. */
function stateOf({ module }: EncoderCase): unknown {
  return {
    hooks: [...module.namedModules()].flatMap(([name, part]) =>
      part instanceof Module && part.hooks.names.length > 0 ? [[name, part.hooks.names]] : [],
    ),
    parts: [...module.namedParameters()].flatMap(([name, { part }]) => (part ? [[name, part]] : [])),
  };
}

const ranks = joinRanks({ deadline: 100 });
if (!ranks) throw new Error("started without ranks");
const { world, size, rank, inSharedMemory } = ranks;

/** All-gathers so far. */
function gathers(): Gathers {
  const entry = world.ledger().find(({ collective }) => collective === "all-gather");
  const { count, bytesSent, bytesReceived } = entry ?? { count: 0, bytesSent: 0, bytesReceived: 0 };
  return { count, bytesSent, bytesReceived };
}

using resources = new DisposableStack();
for (const encoder of await encoderCases(resources)) {
  const { name, module, plan } = encoder;
  const before = stateOf(encoder);
  const expected = expectedGathers(encoder, size, rank);

  // Split before the weights load: only a share of them is read.
  let undo = splitFeaturesOverRanks(module, plan, world, inSharedMemory);
  if (size > 1) assert.throws(() => splitFeaturesOverRanks(module, plan, world), { code: "state" });
  encoder.load();
  const start = gathers();
  const inParts = await digestsOf(encoder);
  const end = gathers();
  write({
    name,
    digests: inParts,
    weights: weightBytes(module),
    gathers: {
      count: end.count - start.count,
      bytesSent: end.bytesSent - start.bytesSent,
      bytesReceived: end.bytesReceived - start.bytesReceived,
    },
    expected,
  });
  undo();
  undo();
  assert.deepEqual(stateOf(encoder), before);

  // Split after they have loaded, and whole again at once.
  encoder.load();
  // By way of what members that share no memory do, with the same bytes.
  undo = splitFeaturesOverRanks(module, plan, world);
  assert.deepEqual(await digestsOf(encoder), inParts);
  undo();
  assert.deepEqual(stateOf(encoder), before);
  const collectives = world.ledger();
  assert.deepEqual(await digestsOf(encoder), inParts);
  assert.deepEqual(world.ledger(), collectives);
}
assert.ok(world.ledger().every(({ collective }) => collective === "all-gather"));
resources.dispose();
await synchronize();
Bun.gc(true);
assert.equal(memory().liveStorages, 0);
ranks.finish();
