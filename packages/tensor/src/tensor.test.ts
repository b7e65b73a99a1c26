import { afterEach, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { memory, scope, synchronize, Tensor, TensorError } from "./index.ts";

afterEach(async () => {
  await synchronize();
  expect(memory().liveStorages).toBe(0);
});

const counting = (count: number): Float32Array => Float32Array.from({ length: count }, (_, index) => index);

describe("Tensor", () => {
  test("holds and returns each dtype", async () => {
    using floats = Tensor.from([1.5, -2, 3], [3]);
    expect(await floats.data()).toEqual(new Float32Array([1.5, -2, 3]));
    using ints = Tensor.from([1, -2], [2], "int32");
    expect(await ints.data()).toEqual(new Int32Array([1, -2]));
    using longs = Tensor.from(new BigInt64Array([2n ** 40n]), [1]);
    expect(longs.dtype).toBe("int64");
    expect(longs.dataBlocking()).toEqual(new BigInt64Array([2n ** 40n]));
    using bytes = Tensor.from(new Uint8Array([7, 255]), [2]);
    expect(await bytes.data()).toEqual(new Uint8Array([7, 255]));
    using brain = Tensor.from([1.00390625], [1], "bfloat16");
    expect(await brain.data()).toEqual(new Float32Array([1]));
    using half = Tensor.from([0.1], [1], "float16");
    expect((await half.floats())[0]).toBeCloseTo(0.09997559, 8);
    using scalar = Tensor.from([5], []);
    expect(scalar.count).toBe(1);
  });

  test("keeps a copy of what it was made from", async () => {
    const values = new Float32Array([1, 2]);
    using tensor = Tensor.from(values, [2]);
    values[0] = 9;
    expect(await tensor.data()).toEqual(new Float32Array([1, 2]));
  });

  test("views share storage and read in their own order", async () => {
    using whole = Tensor.from(counting(24), [2, 3, 4]);
    using turned = whole.permute([2, 0, 1]);
    expect(turned.shape).toEqual([4, 2, 3]);
    expect((await turned.floats()).slice(0, 6)).toEqual(new Float32Array([0, 4, 8, 12, 16, 20]));
    using column = whole.select(-1, -1);
    expect(await column.data()).toEqual(new Float32Array([3, 7, 11, 15, 19, 23]));
    using part = whole.slice(1, -2, -1);
    expect(part.shape).toEqual([2, 1, 4]);
    expect(await part.data()).toEqual(new Float32Array([4, 5, 6, 7, 16, 17, 18, 19]));
    using swapped = whole.transpose(0, -1);
    using flat = swapped.reshape([-1]);
    expect((await flat.floats()).slice(0, 4)).toEqual(new Float32Array([0, 12, 4, 16]));
    using repeated = scope(() => whole.slice(0, 0, 1).expand([3, 3, 4]));
    expect(repeated.strides).toEqual([0, 4, 1]);
    expect(memory().liveStorages).toBe(2);
  });

  test("any slice, permutation and reshape agrees with plain indexing", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 4 }),
        fc.infiniteStream(fc.nat()),
        (shape, stream) => {
          const pick = (below: number): number => (stream.next().value as number) % below;
          const count = shape.reduce((a, b) => a * b, 1);
          const order = shape.map((_, dim) => dim).toSorted(() => (pick(2) === 0 ? 1 : -1));
          const dim = pick(shape.length);
          const size = shape[dim] as number;
          const start = pick(size);
          const end = start + 1 + pick(size - start);
          using whole = Tensor.from(counting(count), shape);
          using sliced = whole.slice(dim, start, end);
          using turned = sliced.permute(order);
          using flat = turned.reshape([-1]);
          const expected: number[] = [];
          const walk = (at: number, index: number[]): void => {
            if (at === order.length) {
              let place = 0;
              for (const [axis, length] of shape.entries()) place = place * length + (index[axis] as number);
              expected.push(place);
              return;
            }
            const axis = order[at] as number;
            const [from, to] = axis === dim ? [start, end] : [0, shape[axis] as number];
            for (let i = from; i < to; i++) {
              index[axis] = i;
              walk(at + 1, index);
            }
          };
          walk(0, []);
          expect([...flat.floatsBlocking()]).toEqual(expected);
        },
      ),
      { numRuns: 60 },
    );
  });

  test("refuses what doesn't fit, with facts", () => {
    expect(() => Tensor.from([1, 2, 3], [2])).toThrow(TensorError);
    expect(() => Tensor.fromBytes(new Uint8Array(8), [1], "float64" as "float32")).toThrow(/one of float32/);
    expect(() => Tensor.from(new Uint8Array(4), [1], "float32")).toThrow(
      /values must be an array that holds float32/,
    );
    using tensor = Tensor.zeros([2, 3]);
    try {
      tensor.reshape([4]);
      throw new Error("the reshape was taken");
    } catch (error) {
      if (!TensorError.isInstance(error)) throw error;
      expect(error.code).toBe("shape");
      expect(error.operation).toBe("reshape");
      expect(error.message).toBe("reshape: shape must be of 6 elements, as [2, 3] is, but is [4]");
    }
    expect(() => tensor.slice(1, 2, 5)).toThrow(/within 0\.\.3 along dimension 1/);
    expect(() => tensor.slice(2, 0)).toThrow(/dim must be a dimension of \[2,3\]/);
    expect(() => tensor.permute([0, 0])).toThrow(TensorError);
    expect(() => tensor.expand([2, 4])).toThrow(TensorError);
    expect(() => tensor.chunk(2, 1)).toThrow(/a divisor of 3/);
    expect(() => tensor.reshape([-1, -1])).toThrow(TensorError);
    expect(() => Tensor.zeros([2 ** 53])).toThrow(TensorError);
  });

  test("is refused once disposed, and disposing twice does nothing", () => {
    const tensor = Tensor.zeros([2]);
    tensor.dispose();
    tensor.dispose();
    expect(tensor.isDisposed).toBe(true);
    expect(() => tensor.reshape([2])).toThrow(/not disposed/);
  });

  test("an absurd allocation fails when it is read, not before, and not the process", async () => {
    using huge = Tensor.zeros([2 ** 50]);
    using part = huge.slice(0, 0, 1);
    const failure = await part.data().then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(TensorError.isInstance(failure) && failure.code).toBe("outOfMemory");
  });
});
