import type { ProcessGroup } from "@wan-ts/distributed";
import type { AttentionOverRanks } from "./hooks.ts";
import { shares } from "./shares.ts";

const tokenDim = 1;
const headDim = 2;

/**
 * Attention by heads (DeepSpeed Ulysses, Jacobs et al. 2023): one all-to-all turns queries, keys and
 * values of all heads and a rank's tokens into those of its heads and all tokens; another turns the
 * result back. A row is computed by the same code as on one rank, so its bytes are the same.
 *
 * @param tokens how many each member has, in the pass under way.
 * @param attendWhole attention among all tokens of the group.
 */
export function ulyssesAttention(
  group: ProcessGroup,
  tokens: () => readonly number[],
  attendWhole: AttentionOverRanks = (call, attend) => attend(call),
): AttentionOverRanks {
  return ({ query, key, value, ...rest }, attend) => {
    const sequence = { dim: tokenDim, sizes: tokens() };
    const heads = { dim: headDim, sizes: shares(query.size(headDim), group.size) };
    const [ownQuery, ownKey, ownValue] = group.reshard([query, key, value], {
      gather: sequence,
      split: heads,
    });
    const attended = attendWhole({ ...rest, query: ownQuery!, key: ownKey!, value: ownValue! }, attend);
    for (const tensor of [ownQuery, ownKey, ownValue]) tensor?.dispose();
    const [output] = group.reshard([attended.output], { gather: heads, split: sequence });
    attended.output.dispose();
    return { output: output! };
  };
}
