import {
  activate,
  add,
  attention,
  channelNorm,
  clamp,
  concatenate,
  conv3d,
  type DType,
  dequantizeBlockwise,
  dequantizeInt8,
  dequantizeNf4,
  divide,
  embedding,
  gatedResidual,
  layerNorm,
  linear,
  maximum,
  mean,
  mergeAttention,
  minimum,
  multiply,
  pad,
  quantizeBlockwise,
  quantizeInt8,
  quantizeNf4,
  rmsNorm,
  rmsNormRotary,
  rotary,
  subtract,
  Tensor,
  upsampleNearest,
  weightedSum,
} from "@wan-ts/tensor";

/** Makes a tensor on the device at work: numbers without pattern, the same for the same shape. */
export interface Inputs {
  /** Of the dtype at work. */
  readonly of: (...shape: number[]) => Tensor;
  readonly float32: (...shape: number[]) => Tensor;
  /** Whole numbers below `end`. */
  readonly indices: (end: number, ...shape: number[]) => Tensor;
}

/** Calls of operations, which every device answers alike. */
export interface OperationCase {
  readonly name: string;
  readonly compute: (inputs: Inputs, dtype: DType) => readonly Tensor[];
}

const epsilon = 1e-6;

/** Every operation of the tensor core, as models call it. */
export const operationCases: readonly OperationCase[] = [
  {
    name: "arithmetic, broadcast and with numbers",
    compute: ({ of }) =>
      [add, subtract, multiply, divide, maximum, minimum].flatMap((operation) => [
        operation(of(2, 3, 5), add(of(3, 1), 2)),
        operation(of(4, 7), 1.5),
      ]),
  },
  {
    name: "clamp and activations",
    compute: ({ of }) => [
      clamp(of(3, 33), -0.5, 0.25),
      ...(["silu", "gelu", "geluTanh", "quickGelu"] as const).map((kind) => activate(kind, of(3, 33))),
    ],
  },
  {
    name: "views, copies and casts",
    compute: ({ of }) => {
      const input = of(4, 6, 5);
      return [
        input.permute([2, 0, 1]).contiguous(),
        input.slice(1, 2, 5).transpose(0, 1).contiguous(),
        input.select(0, 3).unsqueeze(1).expand([6, 3, 5]).contiguous(),
        ...(["float32", "bfloat16", "float16"] as const).map((dtype) => input.to(dtype)),
      ];
    },
  },
  {
    name: "concatenation, padding and upsampling",
    compute: ({ of }) => [
      concatenate([of(2, 3, 4), of(2, 5, 4).slice(1, 1, 4)], 1),
      pad(of(2, 3, 4), [
        [0, 0],
        [2, 1],
        [0, 3],
      ]),
      upsampleNearest(of(1, 2, 3, 4, 5), 2),
    ],
  },
  {
    name: "embedding",
    compute: ({ of, indices }) => [embedding(of(19, 24), indices(19, 2, 7))],
  },
  {
    name: "weighted sum",
    compute: ({ float32 }) => [weightedSum([float32(3, 7), float32(3, 7), float32(3, 7)], [0.5, -2, 1.25])],
  },
  { name: "mean", compute: ({ float32 }) => [mean(float32(3, 331))] },
  {
    name: "norms of rows",
    compute: ({ of, float32 }) => [
      layerNorm(of(2, 5, 48), { epsilon }),
      layerNorm(of(2, 5, 48), { epsilon, weight: of(48), bias: of(48) }),
      layerNorm(of(2, 5, 48), { epsilon, scale: float32(2, 1, 48), shift: float32(2, 1, 48) }),
      rmsNorm(of(2, 5, 48), { epsilon, weight: of(48) }),
      rmsNorm(of(2, 5, 48), { epsilon, weight: of(48), roundBeforeWeight: true }),
      channelNorm(of(1, 2, 3, 4, 12), { weight: of(12), bias: of(12), activation: "silu" }),
    ],
  },
  {
    name: "gate and residual",
    compute: ({ of, float32 }) => [gatedResidual(of(2, 5, 48), of(2, 5, 48), float32(2, 1, 48))],
  },
  {
    name: "rotary embedding",
    compute: ({ of, float32 }) => {
      const [cos, sin] = [float32(1, 9, 8), float32(1, 9, 8)];
      return [
        rotary(of(2, 9, 3, 16), cos, sin),
        rmsNormRotary(of(2, 9, 48), { weight: of(48), cos, sin, heads: 3, epsilon }),
      ];
    },
  },
  {
    name: "linear layers",
    compute: ({ of }) => [
      linear(of(2, 7, 40), of(33, 40)),
      linear(of(2, 7, 40), of(33, 40), { bias: of(33), activation: "geluTanh" }),
      linear(of(1, 48), of(16, 48), { bias: of(16) }),
    ],
  },
  {
    name: "causal convolution",
    compute: ({ of }) => [
      conv3d(of(1, 3, 5, 6, 8), of(12, 8, 3, 3, 3), {
        bias: of(12),
        padding: [
          [2, 0],
          [1, 1],
          [1, 1],
        ],
      }),
      conv3d(of(1, 2, 6, 6, 4), of(8, 4, 1, 3, 3), {
        stride: [1, 2, 2],
        padding: [
          [0, 0],
          [0, 1],
          [0, 1],
        ],
      }),
    ],
  },
  {
    name: "attention, masked and in parts",
    compute: ({ of, float32 }) => {
      const [query, key, value] = [of(2, 9, 3, 16), of(2, 21, 3, 16), of(2, 21, 3, 16)];
      const part = (start: number, end: number): Tensor[] =>
        [key, value].map((whole) => whole.slice(1, start, end));
      const attend = ([keys, values]: Tensor[]) =>
        attention(query, keys as Tensor, values as Tensor, { returnLogSumExp: true });
      const [first, second] = [attend(part(0, 13)), attend(part(13, 21))];
      if (!first.logSumExp || !second.logSumExp) throw new Error("no log-sum-exp");
      const { output, logSumExp } = mergeAttention(
        { ...first, output: first.output.to("float32"), logSumExp: first.logSumExp },
        { ...second, logSumExp: second.logSumExp },
      );
      return [
        attention(query, key, value).output,
        attention(query, key, value, { mask: float32(2, 1, 1, 21), scale: 0.5 }).output,
        output,
        logSumExp,
      ];
    },
  },
  {
    name: "weights in 4 and 8 bits",
    compute: ({ of, float32 }, dtype) => {
      const weight = of(24, 64);
      const nf4 = quantizeNf4(weight, 64);
      const int8 = quantizeInt8(weight);
      const table = Tensor.from(
        Float32Array.from({ length: 256 }, (_, at) => (at - 127.5) / 128),
        [256],
      ).toDevice(weight.device);
      const blockwise = quantizeBlockwise(float32(512), table, 256);
      return [
        nf4.absmax,
        dequantizeNf4(nf4, { shape: [24, 64], dtype, blockSize: 64 }),
        int8.absmax,
        dequantizeInt8(int8, dtype),
        dequantizeBlockwise(blockwise, table, 256),
      ];
    },
  },
];
