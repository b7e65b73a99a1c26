import { parseUmt5Config, Umt5Encoder, umt5AttentionRequests, umt5LoadOptions } from "@wan-ts/models";
import { allFinite, Tensor } from "@wan-ts/tensor";
import { type BenchDType, type BenchmarkCase, BenchmarkError, type BenchmarkFamily } from "./case.ts";
import { benchAttention, checkAgainstPlainKernels, countFlops, fillWithRandom } from "./random-model.ts";

const vocabulary = 512;
/** One layer of UMT5-XXL, whose 24 are alike; the table of words costs no time. */
const config = parseUmt5Config(
  {
    model_type: "umt5",
    vocab_size: vocabulary,
    d_model: 4096,
    d_kv: 64,
    d_ff: 10_240,
    num_heads: 64,
    num_layers: 1,
  },
  "one layer of UMT5-XXL",
);
const tokens = 512;
const checkedTokens = 7;

/** The text encoder's layers. */
export const textEncoderFamily: BenchmarkFamily = {
  name: "text-encoder",
  cases: (["bfloat16", "float32"] as const).map(encoderCase),
};

function encoderCase(dtype: BenchDType): BenchmarkCase {
  return {
    case: `1 of 24 layers of UMT5-XXL, ${tokens} tokens`,
    dtype,
    peer: { operation: "text-encoder", dtype, tokens },
    prepare() {
      const attention = benchAttention(umt5AttentionRequests(config, dtype, "cpu"));
      const encoder = new Umt5Encoder(config, attention);
      fillWithRandom(encoder, umt5LoadOptions(dtype));
      const inputIds = tokenIds(tokens);
      const run = (): Tensor => encoder.call({ inputIds });
      return {
        flops: countFlops(encoder, attention, () => run().dispose()),
        run,
        async check(output) {
          if (!(await allFinite(output))) throw new BenchmarkError(Number.NaN, 0, 0, "the whole output");
          using few = tokenIds(checkedTokens);
          await checkAgainstPlainKernels(attention, dtype, () => encoder.call({ inputIds: few }));
        },
        [Symbol.dispose]() {
          inputIds.dispose();
          encoder.dispose();
        },
      };
    },
  };
}

function tokenIds(count: number): Tensor {
  return Tensor.from(
    Int32Array.from({ length: count }, (_, at) => (at * 31) % vocabulary),
    [1, count],
  );
}
