import { describe, expect, test } from "bun:test";
import { readFixture } from "../testing/read-fixture.ts";
import { relativePositionBucket, relativePositionBuckets } from "./relative-position.ts";

describe("relativePositionBucket", () => {
  test("is transformers' for every position up to five times the greatest distance", () => {
    const fixture = readFixture("umt5");
    const integers = (name: string): number[] => {
      using tensor = fixture.tensor(name);
      return Array.from(tensor.dataBlocking() as BigInt64Array, Number); // Stored as int64.
    };
    const found = integers("buckets/positions").map((position) =>
      relativePositionBucket(position, { buckets: 32, maxDistance: 128 }),
    );
    expect(found).toEqual(integers("buckets/buckets"));
  });
});

describe("relativePositionBuckets", () => {
  test("holds the bucket of key − query, queries in rows", () => {
    const settings = { buckets: 8, maxDistance: 9 };
    const length = 5;
    const found = relativePositionBuckets(length, settings);
    for (let query = 0; query < length; query++) {
      for (let key = 0; key < length; key++) {
        expect(found[query * length + key]).toBe(relativePositionBucket(key - query, settings));
      }
    }
    expect(found[1]).not.toBe(found[length]);
  });
});
