/**
 * A rank of the tests: splits small VAEs by rows, and writes what they compute as lines of JSON.
 *
 * Usage: bun test/rows/rank.ts
 */

import { strict as assert } from "node:assert";
import { splitRowsOverRanks } from "@wan-ts/context-parallel";
import { joinRanks, type ProcessGroup } from "@wan-ts/distributed";
import { vaeRowPlan, type WanVae } from "@wan-ts/models";
import { Module } from "@wan-ts/nn";
import { memory, scope, synchronize, Tensor } from "@wan-ts/tensor";
import { generations, peaksOf, smallVae, vaeOutcomes } from "./vae-cases.ts";

function write(line: Readonly<Record<string, unknown>>): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

/** Hooks of the whole tree, by module. */
function hooksOf(vae: WanVae): (readonly [module: string, hooks: readonly string[]])[] {
  return [...vae.namedModules()].flatMap(([name, module]) =>
    module instanceof Module && module.hooks.names.length > 0 ? [[name, module.hooks.names] as const] : [],
  );
}

/** Collectives of a kind, so far. */
function count(group: ProcessGroup, collective: string): number {
  return group.ledger().find((entry) => entry.collective === collective)?.count ?? 0;
}

/** Up to here outcomes are computed again without ranks. */
const lastAfterUndo = "one sample of 5 rows decoded";

const ranks = joinRanks({ deadline: 100 });
if (!ranks) throw new Error("started without ranks");
const { world } = ranks;
for (const generation of generations) {
  const vae = smallVae(generation, (root, plan) => splitRowsOverRanks(root, plan, world));
  vae.decoder.hooks.add({ name: "another" });
  const before = hooksOf(vae);
  vae.enableParallelism();
  vae.enableParallelism();
  if (ranks.size > 1) {
    assert.throws(() => splitRowsOverRanks(vae, vaeRowPlan(vae), world), { code: "hookExists" });
  }
  for await (const [name, digest] of vaeOutcomes(vae)) write({ generation, name, digest });
  write({ generation, peaks: peaksOf(vae) });

  // A latent frame through the decoder: each rank's collectives.
  const [exchanges, gathers] = [count(world, "send-receive"), count(world, "all-gather")];
  {
    using video = scope(() => vae.decode({ latents: Tensor.full([1, 4, 1, 5, 3], 0.5) }));
    await video.rawBytes();
  }
  write({
    generation,
    exchanges: count(world, "send-receive") - exchanges,
    gathers: count(world, "all-gather") - gathers,
  });

  vae.disableParallelism();
  assert.deepEqual(hooksOf(vae), before);
  const collectives = world.ledger();
  for await (const [name, digest] of vaeOutcomes(vae)) {
    write({ generation, name, digest });
    if (name === lastAfterUndo) break;
  }
  assert.deepEqual(world.ledger(), collectives);
  vae.dispose();
}
await synchronize();
Bun.gc(true);
write({ liveStorages: memory().liveStorages });
ranks.finish();
