import { afterEach, describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  attention,
  attentionInPieces,
  type DType,
  Generator,
  type KeyPiece,
  memory,
  scope,
  synchronize,
  Tensor,
} from "../index.ts";

afterEach(async () => {
  await synchronize();
  expect(memory().liveStorages).toBe(0);
});

const [batch, queries, heads, headDim] = [1, 5, 2, 16];

function draw(keys: number, dtype: DType): Record<"query" | "key" | "value", Tensor> {
  const generator = new Generator(keys);
  const of = (tokens: number): Tensor =>
    Tensor.from(generator.randn(batch * tokens * heads * headDim), [batch, tokens, heads, headDim], dtype);
  return { query: of(queries), key: of(keys), value: of(keys) };
}

/** Pieces of which each is disposed when the next is asked for. */
function* cut({ key, value }: KeyPiece, ends: readonly number[]): Iterable<KeyPiece> {
  let start = 0;
  for (const end of [...ends, key.size(1)]) {
    using keys = key.slice(1, start, end);
    using values = value.slice(1, start, end);
    yield { key: keys, value: values };
    start = end;
  }
}

describe("attention in pieces", () => {
  test("has the bytes of attention to all keys, however they are cut", () => {
    const cuts = fc
      .integer({ min: 0, max: 2100 })
      .chain((keys) =>
        fc.tuple(
          fc.constant(keys),
          fc.array(fc.integer({ min: 0, max: keys }), { maxLength: 6 }),
          fc.constantFrom("float32" as const, "bfloat16" as const, "float16" as const),
        ),
      );
    fc.assert(
      fc.property(cuts, ([keys, places, dtype]) => {
        scope(() => {
          const ends = places.toSorted((left, right) => left - right);
          const { query, key, value } = draw(keys, dtype);
          const options = { scale: 0.3, returnLogSumExp: true };
          const whole = attention(query, key, value, options);
          const found = attentionInPieces(query, cut({ key, value }, ends), options);
          for (const name of ["output", "logSumExp", "logSumExpResidue"] as const) {
            expect(found[name]!.floatsBlocking()).toEqual(whole[name]!.floatsBlocking());
          }
        });
      }),
      { numRuns: 40 },
    );
  });

  test("takes each piece once, and goes to the end of what gives them", () => {
    scope(() => {
      const { query, key, value } = draw(40, "float32");
      const asked: string[] = [];
      function* pieces(): Iterable<KeyPiece> {
        for (const piece of cut({ key, value }, [10, 20])) {
          asked.push(`piece of ${piece.key.size(1)}`);
          yield piece;
        }
        asked.push("end");
      }
      attentionInPieces(query, pieces());
      expect(asked).toEqual(["piece of 10", "piece of 10", "piece of 20", "end"]);
    });
  });

  test("ends what gives pieces where one doesn't fit, and holds nothing", () => {
    scope(() => {
      const { query, key, value } = draw(1500, "float32");
      let ended = false;
      function* pieces(): Iterable<KeyPiece> {
        try {
          yield { key, value };
          yield { key, value: value.slice(1, 0, 7) };
          yield { key, value };
        } finally {
          ended = true;
        }
      }
      expect(() => attentionInPieces(query, pieces())).toThrow(/attentionPiece: value must be/);
      expect(ended).toBe(true);
    });
  });

  test("refuses no piece at all", () => {
    scope(() => {
      const { query } = draw(1, "float32");
      expect(() => attentionInPieces(query, [])).toThrow(
        "attentionInPieces: pieces must be at least one, but is none",
      );
    });
  });
});
