import { divideFeatures } from "@wan-ts/context-parallel";
import type { EncoderCase } from "./encoder-cases.ts";
import type { Gathers } from "./rank-line.ts";

/** The all-gathers that a plan announces for one rank, over all inputs. */
export function expectedGathers(
  { module, plan, rows, featureBytes }: EncoderCase,
  ranks: number,
  rank: number,
): Gathers {
  if (ranks === 1) return { count: 0, bytesSent: 0, bytesReceived: 0 };
  const gathers = divideFeatures(module, plan, ranks).flatMap(({ name, input, output, gathered }) => {
    const bytes = featureBytes(name) * rows.reduce((sum, count) => sum + count, 0);
    return [...(input ? [input] : []), ...(gathered ? [output] : [])].map((sizes) => ({
      sent: sizes[rank]! * (ranks - 1) * bytes,
      received: (sizes.reduce((sum, size) => sum + size, 0) - sizes[rank]!) * bytes,
    }));
  });
  return {
    count: gathers.length * rows.length,
    bytesSent: gathers.reduce((sum, { sent }) => sum + sent, 0),
    bytesReceived: gathers.reduce((sum, { received }) => sum + received, 0),
  };
}
