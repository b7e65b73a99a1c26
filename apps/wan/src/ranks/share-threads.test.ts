import { expect, test } from "bun:test";
import { parseCoreList, type RankCores, shareOf } from "./share-threads.ts";

function shares(all: readonly RankCores[]): number[] {
  return all.map((_, rank) => shareOf(all, rank));
}

const on = (machine: string, cores: string, threads?: number): RankCores => {
  const list = parseCoreList(cores);
  return { machine, cores: list, threads: threads ?? list.length };
};

test("cores are shared out evenly, and every rank has at least one", () => {
  expect(shares([on("a", "0-7"), on("a", "0-7")])).toEqual([4, 4]);
  expect(shares([on("a", "0-6"), on("a", "0-6"), on("a", "0-6")])).toEqual([2, 2, 2]);
  expect(shares([on("a", "0-2"), on("a", "0-2"), on("a", "0-2")])).toEqual([1, 1, 1]);
  expect(shares([on("a", "0"), on("a", "0"), on("a", "0")])).toEqual([1, 1, 1]);
});

test("a rank that is bound to cores of its own keeps them", () => {
  expect(shares([on("a", "0-3"), on("a", "4-7")])).toEqual([4, 4]);
  expect(shares([on("a", "0-3"), on("a", "0-1"), on("a", "2-3")])).toEqual([2, 1, 1]);
});

test("other machines take nothing away, and a control group's limit counts", () => {
  expect(shares([on("a", "0-3"), on("b", "0-3")])).toEqual([4, 4]);
  expect(shares([on("a", "0-7", 4), on("a", "0-7", 4)])).toEqual([2, 2]);
});

test("lists of cores are those of the kernel", () => {
  expect(parseCoreList("0-2,5,8-9")).toEqual([0, 1, 2, 5, 8, 9]);
});
