import { afterEach, describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  add,
  allFinite,
  attention,
  channelNorm,
  clamp,
  concatenate,
  conv3d,
  divide,
  embedding,
  gatedResidual,
  gelu,
  geluTanh,
  layerNorm,
  linear,
  maximum,
  memory,
  minimum,
  multiply,
  pad,
  quickGelu,
  rmsNorm,
  rmsNormRotary,
  rotary,
  scope,
  silu,
  subtract,
  synchronize,
  Tensor,
  TensorError,
  upsampleNearest,
  weightedSum,
} from "../index.ts";

afterEach(async () => {
  await synchronize();
  expect(memory().liveStorages).toBe(0);
});

/** Values without pattern, in [-1, 1), the same for the same seed. */
function values(count: number, seed = 1): number[] {
  let state = seed * 2654435761;
  return Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.fround(state / 2 ** 31 - 1);
  });
}

/** Runs `body` and compares its values with `expected`, to a float32 rounding or few. */
function expectValues(
  body: () => Tensor,
  shape: readonly number[],
  expected: readonly number[],
  tolerance = 2e-6,
): void {
  using result = scope(body);
  expect(result.shape).toEqual([...shape]);
  const found = result.floatsBlocking();
  expect(found.length).toBe(expected.length);
  for (const [at, value] of expected.entries()) {
    const difference = Math.abs((found[at] as number) - value);
    if (!(difference <= tolerance * Math.max(1, Math.abs(value)))) {
      throw new Error(`value ${at} is ${found[at]}, expected ${value}`);
    }
  }
}

const from = (numbers: readonly number[], shape: readonly number[]): Tensor => Tensor.from(numbers, shape);

describe("arithmetic", () => {
  const left = values(6, 1);
  const right = values(3, 2);
  const cases = [
    ["add", add, (a: number, b: number) => a + b],
    ["subtract", subtract, (a: number, b: number) => a - b],
    ["multiply", multiply, (a: number, b: number) => a * b],
    ["divide", divide, (a: number, b: number) => a / b],
    ["maximum", maximum, Math.max],
    ["minimum", minimum, Math.min],
  ] as const;
  for (const [name, operation, plain] of cases) {
    test(`${name} broadcasts, and takes numbers`, () => {
      expectValues(
        () => operation(from(left, [2, 3]), from(right, [3])),
        [2, 3],
        left.map((value, at) => plain(value, right[at % 3] as number)),
      );
      expectValues(
        () => operation(from(left, [6]), 0.5),
        [6],
        left.map((value) => plain(value, 0.5)),
      );
    });
  }

  test("clamp and weightedSum", () => {
    expectValues(() => clamp(from([-2, 0.25, 7], [3]), -1, 1), [3], [-1, 0.25, 1]);
    expectValues(
      () => weightedSum([from(left, [6]), from(values(6, 3), [6])], [2, -0.5]),
      [6],
      left.map((value, at) => 2 * value - 0.5 * (values(6, 3)[at] as number)),
    );
  });

  test("16-bit floats round once", async () => {
    using sum = scope(() =>
      add(Tensor.from([1], [1], "bfloat16"), Tensor.from([0.01171875], [1], "bfloat16")),
    );
    expect(await sum.floats()).toEqual(new Float32Array([1.015625]));
  });

  test("refuses shapes that don't broadcast and dtypes that differ", () => {
    scope(() => {
      expect(() => add(from(left, [2, 3]), from(left.slice(0, 2), [2]))).toThrow(/\[2, 3\]/);
      expect(() => add(from(left, [6]), Tensor.from(left, [6], "bfloat16"))).toThrow(TensorError);
    });
  });
});

describe("activations", () => {
  const inputs = [-30, -3, -0.5, 0, 0.5, 3, 30];
  const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
  const cases = [
    ["silu", silu, (x: number) => x * sigmoid(x)],
    ["quickGelu", quickGelu, (x: number) => x * sigmoid(1.702 * x)],
    [
      "geluTanh",
      geluTanh,
      (x: number) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
    ],
  ] as const;
  for (const [name, operation, plain] of cases) {
    test(name, () => expectValues(() => operation(from(inputs, [7])), [7], inputs.map(plain)));
  }
  test("gelu", () => {
    // x · Φ(x), Φ from tables to ten places.
    expectValues(() => gelu(from([-1, 0, 1, 2], [4])), [4], [-0.1586552539, 0, 0.8413447461, 1.9544997361]);
  });
});

describe("movement", () => {
  test("concatenate, pad and upsampleNearest", () => {
    expectValues(
      () => concatenate([from([1, 2], [2, 1]), from([3, 4, 5, 6], [2, 2])], -1),
      [2, 3],
      [1, 3, 4, 2, 5, 6],
    );
    expectValues(
      () =>
        pad(from([1, 2], [1, 2]), [
          [1, 0],
          [0, 1],
        ]),
      [2, 3],
      [0, 0, 0, 1, 2, 0],
    );
    expectValues(
      () => upsampleNearest(from([1, 2], [1, 1, 1, 2, 1]), 2),
      [1, 1, 2, 4, 1],
      [1, 1, 2, 2, 1, 1, 2, 2],
    );
  });

  test("embedding, and an index outside the table", async () => {
    expectValues(
      () => embedding(from([1, 2, 3, 4], [2, 2]), Tensor.from([1, 0, 1], [3], "int32")),
      [3, 2],
      [3, 4, 1, 2, 3, 4],
    );
    using outside = scope(() => embedding(from([1, 2], [2, 1]), Tensor.from([5], [1], "int32")));
    const failure = await outside.data().catch((error: unknown) => error);
    expect(TensorError.isInstance(failure) && failure.message).toMatch(/5/);
  });

  test("allFinite", async () => {
    using finite = from([1, 2], [2]);
    using broken = from([1, Number.NaN], [2]);
    using endless = from([Number.POSITIVE_INFINITY, 0], [2]);
    expect([await allFinite(finite), await allFinite(broken), await allFinite(endless)]).toEqual([
      true,
      false,
      false,
    ]);
  });
});

/** Rows of `count` values, each normalised by `plain`. */
function perRow(
  input: readonly number[],
  size: number,
  plain: (row: readonly number[]) => number[],
): number[] {
  return Array.from({ length: input.length / size }, (_, row) =>
    plain(input.slice(row * size, (row + 1) * size)),
  ).flat();
}

const mean = (row: readonly number[]): number => row.reduce((sum, value) => sum + value, 0) / row.length;

describe("normalisation", () => {
  const size = 13;
  const input = values(3 * size, 4);
  const weight = values(size, 5);
  const bias = values(size, 6);
  const epsilon = 1e-5;

  const normed = (row: readonly number[]): number[] => {
    const middle = mean(row);
    const variance = mean(row.map((value) => (value - middle) ** 2));
    return row.map((value) => (value - middle) / Math.sqrt(variance + epsilon));
  };

  test("layerNorm with weight, bias and modulation", () => {
    const scale = values(size, 7);
    const shift = values(size, 8);
    expectValues(
      () =>
        layerNorm(from(input, [1, 3, size]), {
          epsilon,
          weight: from(weight, [size]),
          bias: from(bias, [size]),
          scale: from(scale, [1, 1, size]),
          shift: from(shift, [1, 1, size]),
        }),
      [1, 3, size],
      perRow(input, size, (row) =>
        normed(row).map((value, at) => {
          const [w, b, s, t] = [weight, bias, scale, shift].map((list) => list[at] as number) as [
            number,
            number,
            number,
            number,
          ];
          return (value * w + b) * (1 + s) + t;
        }),
      ),
    );
  });

  const rms = (row: readonly number[], epsilonHere: number): number[] => {
    const root = Math.sqrt(mean(row.map((value) => value ** 2)) + epsilonHere);
    return row.map((value, at) => (value / root) * (weight[at % size] as number));
  };

  test("rmsNorm", () => {
    expectValues(
      () => rmsNorm(from(input, [3, size]), { epsilon, weight: from(weight, [size]) }),
      [3, size],
      perRow(input, size, (row) => rms(row, epsilon)),
    );
  });

  test("channelNorm with activation", () => {
    expectValues(
      () => channelNorm(from(input, [3, size]), { weight: from(weight, [size]), activation: "silu" }),
      [3, size],
      perRow(input, size, (row) => {
        const length = Math.sqrt(row.reduce((sum, value) => sum + value ** 2, 0));
        return row
          .map((value, at) => (value / length) * Math.sqrt(size) * (weight[at] as number))
          .map((value) => value / (1 + Math.exp(-value)));
      }),
    );
  });

  test("gatedResidual", () => {
    expectValues(
      () =>
        gatedResidual(
          from(input, [1, 3, size]),
          from(input.toReversed(), [1, 3, size]),
          from(weight, [1, 1, size]),
        ),
      [1, 3, size],
      input.map((value, at) => value + (input.toReversed()[at] as number) * (weight[at % size] as number)),
    );
  });

  test("rotary turns pairs, and rmsNormRotary is the two in one", () => {
    const [tokens, heads, headDim] = [3, 2, 4];
    const angles = values((tokens * headDim) / 2, 9);
    const states = values(tokens * heads * headDim, 10);
    const norm = values(heads * headDim, 11);
    const tables = (): [Tensor, Tensor] => [
      from(angles.map(Math.cos), [1, tokens, headDim / 2]),
      from(angles.map(Math.sin), [1, tokens, headDim / 2]),
    ];
    const turned = states.map((value, at) => {
      const token = Math.floor(at / (heads * headDim));
      const pair = Math.floor((at % headDim) / 2);
      const angle = angles[(token * headDim) / 2 + pair] as number;
      const other = states[at ^ 1] as number;
      return at % 2 === 0
        ? value * Math.cos(angle) - other * Math.sin(angle)
        : other * Math.sin(angle) + value * Math.cos(angle);
    });
    expectValues(
      () => rotary(from(states, [1, tokens, heads, headDim]), ...tables()),
      [1, tokens, heads, headDim],
      turned,
    );
    scope(() => {
      const [cos, sin] = tables();
      const input = from(states, [1, tokens, heads * headDim]);
      const weight = from(norm, [heads * headDim]);
      const apart = rotary(
        rmsNorm(input, { epsilon, weight }).reshape([1, tokens, heads, headDim]),
        cos,
        sin,
      );
      const fused = rmsNormRotary(input, { weight, cos, sin, heads, epsilon });
      expect(fused.floatsBlocking()).toEqual(apart.floatsBlocking());
    });
  });
});

describe("products", () => {
  test("linear of any sizes is the product with the transposed weight", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 17 }),
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 1, max: 37 }),
        (rows, inner, columns) => {
          const input = values(rows * inner, rows);
          const weight = values(columns * inner, columns);
          const bias = values(columns, inner);
          expectValues(
            () =>
              linear(from(input, [rows, inner]), from(weight, [columns, inner]), {
                bias: from(bias, [columns]),
              }),
            [rows, columns],
            Array.from({ length: rows * columns }, (_, at) => {
              const [row, column] = [Math.floor(at / columns), at % columns];
              let sum = bias[column] as number;
              for (let k = 0; k < inner; k++)
                sum += (input[row * inner + k] as number) * (weight[column * inner + k] as number);
              return sum;
            }),
            1e-5,
          );
        },
      ),
      { numRuns: 40 },
    );
  });

  test("conv3d of a point, a neighbourhood, a stride and padding", () => {
    const [frames, height, width, inputs, outputs] = [3, 4, 5, 2, 3];
    const input = values(frames * height * width * inputs, 12);
    const weight = values(outputs * inputs * 2 * 3 * 3, 13);
    const bias = values(outputs, 14);
    const expected: number[] = [];
    for (let t = 0; t < 3; t++)
      for (let y = 0; y < 2; y++)
        for (let x = 0; x < 3; x++)
          for (let o = 0; o < outputs; o++) {
            let sum = bias[o] as number;
            for (let i = 0; i < inputs; i++)
              for (let a = 0; a < 2; a++)
                for (let b = 0; b < 3; b++)
                  for (let c = 0; c < 3; c++) {
                    const [tt, yy, xx] = [t + a - 1, 2 * y + b - 1, 2 * x + c - 1];
                    if (tt < 0 || yy < 0 || xx < 0 || yy >= height || xx >= width) continue;
                    const at = ((tt * height + yy) * width + xx) * inputs + i;
                    sum +=
                      (input[at] as number) *
                      (weight[(((o * inputs + i) * 2 + a) * 3 + b) * 3 + c] as number);
                  }
            expected.push(sum);
          }
    expectValues(
      () =>
        conv3d(from(input, [1, frames, height, width, inputs]), from(weight, [outputs, inputs, 2, 3, 3]), {
          bias: from(bias, [outputs]),
          stride: [1, 2, 2],
          padding: [
            [1, 0],
            [1, 1],
            [1, 1],
          ],
        }),
      [1, 3, 2, 3, outputs],
      expected,
      1e-5,
    );
  });

  test("attention with scale and log-sum-exp", () => {
    scope(() => {
      const { output, logSumExp } = attention(
        from([1, 0], [1, 1, 1, 2]),
        from([1, 0, 0, 1], [1, 2, 1, 2]),
        from([1, 2, 3, 4], [1, 2, 1, 2]),
        { scale: 1, returnLogSumExp: true },
      );
      const share = Math.E / (Math.E + 1);
      const found = output.floatsBlocking();
      expect(found[0]).toBeCloseTo(share + 3 * (1 - share), 5);
      expect(found[1]).toBeCloseTo(2 * share + 4 * (1 - share), 5);
      expect(logSumExp?.floatsBlocking()[0]).toBeCloseTo(Math.log(Math.E + 1), 5);
    });
  });

  test("refuses widths that don't meet, naming both shapes", () => {
    scope(() => {
      expect(() => linear(from(values(6), [2, 3]), from(values(8), [2, 4]))).toThrow(/linear: .*\[2, 4\]/);
      expect(() => conv3d(from(values(6), [2, 3]), from(values(8), [2, 4]))).toThrow(/conv3d/);
      expect(() =>
        attention(
          from(values(4), [1, 1, 1, 4]),
          from(values(3), [1, 1, 1, 3]),
          from(values(3), [1, 1, 1, 3]),
        ),
      ).toThrow(/attention/);
    });
  });
});
