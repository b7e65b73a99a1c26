/**
 * A rank of the tests: runs the scenario that its command line names.
 *
 * Usage: bun test/rank.ts scenario
 */

import { expect } from "bun:test";
import {
  add,
  memory,
  Rehearsal,
  scope,
  synchronize,
  Tensor,
  TensorError,
  traceOperations,
} from "@wan-ts/tensor";
import { joinRanks, ledgerSince, plannedRanks, type Ranks } from "../src/index.ts";

const numbers = (length: number, start: number): number[] =>
  Array.from({ length }, (_, index) => start + index);

async function values(tensor: Tensor): Promise<number[]> {
  return [...(await tensor.floats())];
}

/** Every collective, along inner dimensions and with uneven sizes too. */
async function collectives({ world, rank, size }: Ranks): Promise<void> {
  await world.barrier();
  const members = numbers(size, 0);
  {
    using own = Tensor.from(numbers(6, rank * 10), [2, 3]);
    using all = world.allGather(own);
    expect(all.shape).toEqual([2 * size, 3]);
    expect(await values(all)).toEqual(members.flatMap((member) => numbers(6, member * 10)));
    using wide = world.allGather(own, { dim: -1 });
    expect(wide.shape).toEqual([2, 3 * size]);
    expect(await values(wide)).toEqual(
      [0, 3].flatMap((start) => members.flatMap((member) => numbers(3, member * 10 + start))),
    );
  }
  {
    using own = Tensor.from(numbers(rank + 1, rank * 10), [rank + 1], "bfloat16");
    using all = world.allGather(own, { sizes: numbers(size, 1) });
    expect(await values(all)).toEqual(members.flatMap((member) => numbers(member + 1, member * 10)));
  }
  {
    // Member m sends j + 1 elements to member j: every one gets as many from each.
    using whole = Tensor.from(numbers(size * (size + 1), rank * 100), [size * (size + 1)]);
    const parts = members.map((to) => whole.slice(0, to * 2, to * 2 + to + 1));
    const received = world.allToAll(
      parts,
      members.map(() => [1, rank + 1]),
    );
    for (const [from, part] of received.entries()) {
      expect(part.shape).toEqual([1, rank + 1]);
      expect(await values(part)).toEqual(numbers(rank + 1, from * 100 + rank * 2));
    }
    for (const part of [...parts, ...received]) part.dispose();
  }
  {
    using own = Tensor.from(numbers(size * 2, rank), [size * 2]);
    using sum = world.allReduce(own);
    const total = numbers(size * 2, 0).map((value) => value * size + (size * (size - 1)) / 2);
    expect(await values(sum)).toEqual(total);
    using part = world.reduceScatter(own);
    expect(await values(part)).toEqual(total.slice(rank * 2, rank * 2 + 2));
  }
  {
    using own = Tensor.from([7, 8], [2], "int32");
    using copy = world.broadcast(rank === size - 1 ? own : { shape: [2], dtype: "int32" }, size - 1);
    expect(await copy.data()).toEqual(new Int32Array([7, 8]));
    expect(() => world.broadcast(own, rank + 1)).toThrow(/a tensor on member/);
  }
  if (size > 1) {
    using own = Tensor.from([rank], [1]);
    using previous = world.exchange(own, (rank + 1) % size, (rank + size - 1) % size);
    expect(await values(previous)).toEqual([(rank + size - 1) % size]);
    if (rank === 0) await world.send(own, 1);
    if (rank === 1) {
      using first = world.receive({ shape: [1], dtype: "float32" }, 0);
      expect(await values(first)).toEqual([0]);
    }
    const pairs = world.split("pairs", [[0, 1]]);
    expect(pairs === undefined).toBe(rank > 1);
    if (pairs) {
      expect([pairs.label, pairs.size, pairs.index]).toEqual(["pairs", 2, rank]);
      using sum = pairs.allReduce(own);
      expect(await values(sum)).toEqual([1]);
    }
    const gathers = world.ledger().find(({ collective }) => collective === "all-gather");
    const even = 24 * (size - 1);
    expect(gathers).toEqual({
      collective: "all-gather",
      count: 3,
      bytesSent: 2 * even + 2 * (rank + 1) * (size - 1),
      bytesReceived: 2 * even + size * (size + 1) - 2 * (rank + 1),
    });
  }
  await synchronize();
  expect(memory().liveStorages).toBe(0);
}

/** Queries, keys and values to heads and back: what comes is what one rank would cut out of the whole. */
async function reshard({ world, rank, size }: Ranks): Promise<void> {
  const cases = [
    { shape: [1, 13, 5, 4], gather: 1, split: 2 },
    { shape: [2, 13, 12, 4], gather: 2, split: 1 },
    { shape: [1, size, 1, 2], gather: 1, split: 2 },
    { shape: [3, 7], gather: -1, split: 0 },
  ];
  for (const { shape, gather, split } of cases) {
    const shareOf = (dim: number) => {
      const total = shape.at(dim) as number;
      const ends = numbers(size, 1).map((member) => Math.floor((total * member) / size));
      return { dim, sizes: ends.map((end, member) => end - (ends[member - 1] ?? 0)) };
    };
    const shares = { gather: shareOf(gather), split: shareOf(split) };
    const own = (tensor: Tensor, { dim, sizes }: typeof shares.gather): Tensor => {
      const start = sizes.slice(0, rank).reduce((sum, each) => sum + each, 0);
      return tensor.slice(dim, start, start + (sizes[rank] as number));
    };
    for (const dtype of ["float32", "bfloat16"] as const) {
      const count = shape.reduce((product, each) => product * each, 1);
      const whole = [0, 100, 200].map((start) =>
        Tensor.from(
          numbers(count, start).map((value) => value % 251),
          shape,
          dtype,
        ),
      );
      const inputs = whole.map((tensor) => own(tensor, shares.gather));
      const outputs = world.reshard(inputs, shares);
      const back = world.reshard(outputs.slice(0, 1), { gather: shares.split, split: shares.gather });
      const expected = whole.map((tensor) => own(tensor, shares.split));
      for (const [index, output] of outputs.entries()) {
        expect(output.shape).toEqual((expected[index] as Tensor).shape);
        expect(await values(output)).toEqual(await values(expected[index] as Tensor));
      }
      expect(await values(back[0] as Tensor)).toEqual(await values(inputs[0] as Tensor));
      for (const tensor of [...whole, ...inputs, ...outputs, ...back, ...expected]) tensor.dispose();
    }
  }
  expect(world.ledger().map(({ collective, count }) => [collective, count])).toEqual([["all-to-all", 16]]);
  using one = Tensor.full([2, size, 3], 1);
  using other = Tensor.full([2, size, 3], 1, "bfloat16");
  const even = { dim: 0, sizes: numbers(size, 0).map(() => 2) };
  const heads = { dim: 1, sizes: numbers(size, 0).map(() => 1) };
  const refused: [Tensor[], typeof even, typeof even, RegExp][] = [
    [[], even, heads, /from 1 to 8 tensors/],
    [[one, other], even, heads, /all alike, float32 \[2, \d, 3\]/],
    [[one], { dim: 0, sizes: even.sizes.map(() => 3) }, heads, /gather/],
    [[one], even, { dim: 1, sizes: even.sizes.map(() => 2) }, /add up to/],
    [[one], even, { dim: 0, sizes: even.sizes }, /another dimension/],
    [[one], { dim: 0, sizes: [] }, heads, /sizes/],
    [[one], even, { dim: 3, sizes: even.sizes }, /a dimension of/],
  ];
  for (const [inputs, gather, split, message] of refused) {
    expect(() => world.reshard(inputs, { gather, split })).toThrow(message);
  }
  one.dispose();
  other.dispose();
  await synchronize();
  expect(memory().liveStorages).toBe(0);
}

/** Collectives of every kind in groups and their parts; returns the results' shapes. */
async function mixed({ world }: Ranks): Promise<(readonly number[])[]> {
  const { size, index } = world;
  const members = numbers(size, 0);
  const pairs = world.split(
    "pairs",
    [members.slice(0, 2), members.slice(2)].filter((part) => part.length > 0),
  );
  const first = world.split("first", [[0]]);
  expect(first === undefined).toBe(index !== 0);
  const rows = Tensor.full([index + 1, 6, 4], 1, "bfloat16");
  const sizes = { gather: { dim: 0, sizes: numbers(size, 1) }, split: { dim: 1, sizes: [6] } };
  sizes.split.sizes.push(...numbers(size - 1, 0).map(() => 0));
  const results = [
    rows,
    world.allGather(rows, { sizes: sizes.gather.sizes }),
    ...world.reshard([rows, rows], sizes),
    world.allReduce(Tensor.full([5], 1)),
    world.reduceScatter(Tensor.full([3 * size, 2], 1), { sizes: numbers(size, 0).map(() => 3) }),
    world.broadcast(index === 0 ? Tensor.full([7], 1) : { shape: [7], dtype: "float32" }, 0),
    ...world.allToAll(members.map(() => Tensor.full([3], 1))),
  ];
  if (size > 1) {
    results.push(world.exchange(Tensor.full([9], 1), (index + 1) % size, (index + size - 1) % size));
    if (index === 0) await world.send(Tensor.full([11], 1), 1);
    if (index === 1) results.push(world.receive({ shape: [11], dtype: "float32" }, 0));
  }
  if (pairs) results.push(pairs.allGather(Tensor.full([2], 1)));
  await world.barrier();
  await synchronize();
  return results.map((result) => result.shape);
}

/** A plan counts what a run moves, entry by entry, and has the shapes that the run has. */
async function planned(ranks: Ranks): Promise<void> {
  const empty = ranks.ledger();
  const shapes = await mixed(ranks);
  const plan = plannedRanks({ rank: ranks.rank, worldSize: ranks.size });
  expect(() => plan.world.allReduce(Tensor.full([1], 1))).toThrow(/of planned ranks/);
  expect(plan.ledger()).toEqual([]);
  {
    using rehearsal = new Rehearsal();
    expect(await mixed(plan)).toEqual(shapes);
    expect(rehearsal.take().operations.map(({ operation }) => operation)).toContain("all-to-all");
    expect(() => plan.world.allGather(Tensor.full([2], 1), { sizes: [] })).toThrow(TensorError);
  }
  expect(plan.ledger()).toEqual(ledgerSince(empty, ranks.ledger()));
  expect(plan.ledger().length).toBeGreaterThanOrEqual(8);
  const before = ranks.ledger();
  const moved = ranks.world.allReduce(Tensor.full([4], 1));
  await values(moved);
  expect(ledgerSince(before, ranks.ledger())).toMatchObject([
    { group: "world", collective: "all-reduce", count: 1 },
  ]);
}

/** What is made in shared memory is read there: nothing is staged, and blocks are used again. */
async function sharedMemory({ world, rank, size, inSharedMemory }: Ranks): Promise<void> {
  const tokens = { dim: 1, sizes: numbers(size, 0).map(() => 64) };
  const heads = { dim: 2, sizes: numbers(size, 0).map(() => 4) };
  const shape = [1, 64, 4 * size, 32];
  // More in all than the 32 MiB that the test gives each rank.
  for (let round = 0; round < 60; round++) {
    const output = scope(() => {
      const inputs = inSharedMemory(() => [1, 2, 3].map((value) => add(Tensor.full(shape, rank), value)));
      const [query, key, value] = world.reshard(inputs, { gather: tokens, split: heads });
      const attended = inSharedMemory(() => add(add(query as Tensor, key as Tensor), value as Tensor));
      const [whole] = world.reshard([attended], { gather: heads, split: tokens });
      return whole as Tensor;
    });
    if (round % 20 === 0) expect(new Set(await values(output))).toEqual(new Set([3 * rank + 6]));
    output.dispose();
  }
  if (size > 1) {
    using sent = inSharedMemory(() => Tensor.full([1000], rank));
    const next = (rank + 1) % size;
    const previous = (rank + size - 1) % size;
    using received = inSharedMemory(() => world.exchange(sent, next, previous));
    using forwarded = world.exchange(received, next, previous);
    expect(new Set(await values(forwarded))).toEqual(new Set([(rank + 2 * size - 2) % size]));
  }
  await synchronize();
  expect(world.stagedBytes()).toBe(0);
  expect(memory().liveStorages).toBe(0);
  {
    using own = Tensor.full(shape, 1);
    const outputs = world.reshard([own], { gather: tokens, split: heads });
    await values(outputs[0] as Tensor);
    expect(world.stagedBytes()).toBe((own.bytes * (size - 1)) / size);
    for (const output of outputs) output.dispose();
  }
  // Views of shared memory are as good; scopes nest; what is made outside is outside.
  using small = inSharedMemory(() => inSharedMemory(() => Tensor.full([4], 1)));
  expect(await values(small)).toEqual([1, 1, 1, 1]);
  expect(() => inSharedMemory(() => Promise.resolve())).toThrow(/synchronous/);
  using tooMuch = inSharedMemory(() => Tensor.full([16, 1024, 1024], 1));
  const error = await tooMuch.data().catch((thrown: unknown) => thrown);
  expect(TensorError.isInstance(error) && error.code).toBe("outOfMemory");
  expect((error as TensorError).message).toMatch(/67108864 bytes .*33554432 bytes .*arenaBytes/);
  using after = Tensor.full([16, 1024, 1024], 1);
  await after.slice(0, 0, 1).rawBytes();
  const plan = plannedRanks({ rank: 0, worldSize: 2 });
  expect(plan.inSharedMemory(() => 7)).toBe(7);
}

/** Rank 0 sends only when rank 1, which has asked for it, has computed something else meanwhile. */
async function overlap({ world, rank }: Ranks): Promise<void> {
  const { OVERLAP_FLAG: flag = "" } = process.env;
  using own = Tensor.full([1000], rank);
  if (rank === 0) {
    for (let waited = 0; !(await Bun.file(flag).exists()); waited++) {
      if (waited > 1500) throw new Error("rank 1 waits for what it doesn't read");
      await Bun.sleep(10);
    }
  }
  using received = world.exchange(own, 1 - rank, 1 - rank);
  if (rank === 1) {
    using meanwhile = add(own, 1);
    expect(new Set(await values(meanwhile))).toEqual(new Set([2]));
    await Bun.write(flag, "computed");
  }
  // Another collective keeps its turn, and reads what came.
  using sum = world.allReduce(received);
  using derived = add(received, sum);
  expect(new Set(await values(derived))).toEqual(new Set([2 - rank]));
}

/** Collectives among other operations, submitted without waiting. */
async function pipeline({ world, size }: Ranks): Promise<void> {
  using result = scope(() => {
    let current = Tensor.full([1000], 1);
    for (let step = 0; step < 20; step++) {
      using sum = world.allReduce(current);
      current = add(sum, -(size - 1));
    }
    return current;
  });
  expect(new Set(await values(result))).toEqual(new Set([1]));
}

/** What a trace tells of collectives. */
async function trace({ world, rank, size }: Ranks): Promise<void> {
  using own = Tensor.from(numbers(6, rank), [6]);
  const { result, events } = await traceOperations(() => world.allGather(own));
  using _gathered = result;
  const bytes = 24 * (size - 1);
  expect(events.map(({ operation, traffic }) => ({ operation, traffic }))).toEqual([
    { operation: "all-gather", traffic: { group: "world", bytesSent: bytes, bytesReceived: bytes } },
  ]);
}

/** Rank 1 calls another collective; all fail, and so does what is computed from the result. */
async function mismatch({ world, rank, failure }: Ranks): Promise<void> {
  using own = Tensor.full([2, 6], 1);
  using result = rank === 1 ? world.allReduce(own) : world.allGather(own);
  using derived = add(result, 1);
  const error = await derived.data().catch((thrown: unknown) => thrown);
  expect(TensorError.isInstance(error) && error.code).toBe("collective");
  expect((error as TensorError).message).toContain("all-gather #1 of float32 [6]");
  expect((error as TensorError).message).toContain("all-reduce #1 of float32 [2, 6]");
  expect(failure()).toMatchObject({ code: "mismatch", rank, peer: rank === 1 ? 0 : 1, sequence: 1 });
  process.stdout.write("failed as it should\n");
  process.exit(1);
}

/** Rank 1's input fails before its collective, in the stream's order or beside it; the others are told. */
async function brokenInput(
  { world, rank }: Ranks,
  collective: (row: Tensor) => Tensor = (row) => world.allGather(row),
): Promise<void> {
  using table = Tensor.full([2, 2], 1);
  using indices = Tensor.from([rank === 1 ? 9 : 0], [1], "int32");
  const { embedding } = await import("@wan-ts/tensor");
  using row = embedding(table, indices);
  using result = collective(row);
  await result.data();
}

async function wait({ world, rank, note }: Ranks): Promise<void> {
  note("step 3, block 7");
  using own = Tensor.full([4], rank);
  using first = world.allGather(own);
  await first.data();
  if (rank === 1) {
    process.stdout.write("waiting\n");
    await Bun.sleep(60_000);
  }
  using second = world.allGather(own);
  await second.data();
}

async function dieIn(how: "exit0" | "exit3" | "throw", { world, rank, note, fail }: Ranks): Promise<void> {
  note("step 1");
  if (rank === 1 && how === "throw") {
    fail("the weights are damaged");
    process.exit(1);
  }
  if (rank === 1) {
    process.stderr.write("out of ideas\n");
    process.exit(how === "exit0" ? 0 : 3);
  }
  await world.barrier();
}

const scenarios: Readonly<Record<string, (ranks: Ranks) => Promise<void>>> = {
  collectives,
  reshard,
  planned,
  sharedMemory,
  overlap,
  pipeline,
  trace,
  mismatch,
  brokenInput: (ranks) => brokenInput(ranks),
  brokenExchange: (ranks) =>
    brokenInput(ranks, (row) => ranks.world.exchange(row, 1 - ranks.rank, 1 - ranks.rank)),
  wait,
  exit0: (ranks) => dieIn("exit0", ranks),
  exit3: (ranks) => dieIn("exit3", ranks),
  throw: (ranks) => dieIn("throw", ranks),
};

const ranks = joinRanks({ stoppedAfter: 0.8, deadline: 20 });
const scenario = scenarios[process.argv[2] ?? ""];
if (!ranks || !scenario) throw new Error("started without ranks or scenario");
await scenario(ranks);
ranks.finish();
