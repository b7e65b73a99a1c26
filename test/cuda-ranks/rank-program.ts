/**
 * A rank that does every collective on its CUDA device and on the processor, and expects the same bytes.
 *
 * Usage: bun test/cuda-ranks/rank-program.ts nccl|staged, as a rank
 */
import { expect } from "bun:test";
import { joinRanks, type ProcessGroup } from "@wan-ts/distributed";
import { add, countCudaDevices, type Device, Tensor } from "@wan-ts/tensor";

const ranks = joinRanks();
if (!ranks) throw new Error("this process is no rank");
const { rank, size } = ranks;
const device: Device = `cuda:${rank % countCudaDevices()}`;

const told = ranks.connectDevice(device);
expect(told?.kind).toBe(process.argv[2] as "nccl" | "staged");
expect(ranks.connectDevice(device)).toEqual(told as NonNullable<typeof told>);
expect(ranks.deviceCollectives()).toEqual(told);
expect(ranks.connectDevice("cpu")).toBeUndefined();

type Collective = (group: ProcessGroup, input: Tensor, on: Device) => Tensor[];
const uneven = Array.from({ length: size }, (_, member) => 2 + member);
const heads = Array.from({ length: size }, (_, member) => (member === 0 ? 5 - (size - 1) : 1));
const total = uneven.reduce((sum, each) => sum + each, 0);

/** Each of an input of [1, 2 + index, 5, 4]. */
const collectives: Readonly<Record<string, Collective>> = {
  allGather: (group, input) => [
    group.allGather(input, { dim: 1, sizes: uneven }),
    group.allGather(input.slice(1, 0, 2)),
  ],
  allToAll: (group, input) => group.allToAll(group.members.map(() => input.slice(1, 0, 1))),
  broadcast: (group, input, on) => [
    group.broadcast(group.index === 1 ? input : { shape: [1, 3, 5, 4], dtype: input.dtype, device: on }, 1),
  ],
  reshard: (group, input) => {
    const gather = { dim: 1, sizes: uneven };
    const split = { dim: 2, sizes: heads };
    const there = group.reshard([input, add(input, input)], { gather, split });
    expect(there[0]?.shape).toEqual([1, total, heads[group.index] ?? 0, 4]);
    const back = group.reshard(there, { gather: split, split: gather });
    return [...there, ...back];
  },
  // Sums are taken in the order of the members, wherever they are taken.
  allReduce: (group, input) => [group.allReduce(input.slice(1, 0, 2))],
  reduceScatter: (group, input) => [group.reduceScatter(input.slice(1, 0, 2), { dim: 2, sizes: heads })],
  exchange: (group, input) => {
    const [next, previous] = [(group.index + 1) % size, (group.index + size - 1) % size];
    const shape = [1, uneven[previous] ?? 0, 5, 4];
    const once = group.exchange(input, next, previous, shape);
    // What is submitted beside, of what is sent and of what came.
    const beside = add(input, input);
    return [once, beside, add(once, once)];
  },
};

const groups = [ranks.world, ranks.world.split("backwards", [ranks.world.members.toReversed()])];
for (const group of groups) {
  if (!group) throw new Error("every rank is in every group");
  for (const dtype of ["float32", "bfloat16"] as const) {
    for (const [name, collective] of Object.entries(collectives)) {
      const rows = 2 + group.index;
      const values = Array.from(
        { length: rows * 5 * 4 },
        (_, place) => Math.sin(place * 1.7 + rank * 11) * 100,
      );
      const here = Tensor.from(values, [1, rows, 5, 4], dtype);
      const there = here.toDevice(device);
      const expected = collective(group, here, "cpu");
      const found = collective(group, there, device);
      expect(found).toHaveLength(expected.length);
      for (const [place, tensor] of found.entries()) {
        const processors = expected[place];
        expect(tensor.device).toBe(device);
        expect(tensor.shape).toEqual(processors?.shape ?? []);
        expect(await tensor.rawBytes(), `${name} in ${dtype}`).toEqual(
          (await processors?.rawBytes()) ?? new Uint8Array(),
        );
      }
    }
  }
}

// One way, from the first to the last.
if (rank === 0) {
  using sent = Tensor.from([1, 2, 3], [3], "float32", device);
  await ranks.world.send(sent, size - 1);
} else if (rank === size - 1) {
  using received = ranks.world.receive({ shape: [3], dtype: "float32", device }, 0);
  expect([...(await received.floats())]).toEqual([1, 2, 3]);
}
ranks.finish();
