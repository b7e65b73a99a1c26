import { parseUmt5Config, Umt5Encoder, umt5AttentionRequests, umt5LoadOptions } from "@wan-ts/models";
import { type Device, Tensor } from "@wan-ts/tensor";
import type { BenchDType, BenchmarkCase, BenchmarkFamily } from "./case.ts";
import { checkModel } from "./check-model.ts";
import { type BenchModel, benchAttention, countFlops, fillWithRandom } from "./random-model.ts";

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
    prepare(device) {
      const model = makeModel(dtype, device);
      const inputIds = tokenIds(tokens, device);
      const run = (): Tensor => model.module.call({ inputIds });
      return {
        flops: countFlops(model, () => run().dispose()),
        run,
        check: (output) =>
          checkModel(output, {
            dtype,
            device,
            model,
            make: (where) => makeModel(dtype, where),
            compute: (encoder, where) => {
              using few = tokenIds(checkedTokens, where);
              return encoder.call({ inputIds: few });
            },
          }),
        [Symbol.dispose]() {
          inputIds.dispose();
          model.module.dispose();
        },
      };
    },
  };
}

function makeModel(dtype: BenchDType, device: Device): BenchModel<Umt5Encoder> {
  const attention = benchAttention(umt5AttentionRequests(config, dtype, device));
  const module = new Umt5Encoder(config, attention);
  fillWithRandom(module, umt5LoadOptions(dtype), device);
  return { module, attention };
}

function tokenIds(count: number, device: Device): Tensor {
  const ids = Int32Array.from({ length: count }, (_, at) => (at * 31) % vocabulary);
  return Tensor.from(ids, [1, count], "int32", device);
}
