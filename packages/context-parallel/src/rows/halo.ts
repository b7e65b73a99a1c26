import type { ProcessGroup } from "@wan-ts/distributed";
import type { RowConvolution, RowConvolutionInput } from "@wan-ts/nn";
import { concatenate, type Tensor } from "@wan-ts/tensor";
import { ContextParallelError } from "../errors.ts";
import { type Bands, rowDim } from "./bands.ts";

/** Rows that a convolution needs beyond a band, whose edges its strides keep to. */
export interface Halo {
  readonly above: number;
  readonly below: number;
}

/**
 * The halo of a convolution whose output has a row for every `stride` rows of its input, counted from
 * the band's upper edge.
 */
export function haloOf({ kernel, stride, padding }: RowConvolution): Halo {
  return { above: padding[0], below: kernel - stride - padding[0] };
}

/**
 * What a convolution gets on a band: the rows of the members next to it where there are any, and zeros
 * only at the edges of the frame.
 *
 * @throws {ContextParallelError} `tensor` where a band has fewer rows than the one next to it needs, or ends
 * between strides: all members see it, before anything is exchanged.
 */
export function withHalo<Input extends RowConvolutionInput>(
  given: Input,
  convolution: RowConvolution,
  bands: Bands,
  group: ProcessGroup,
): Input {
  const { input } = given;
  const halo = haloOf(convolution);
  const name = `the input of ${convolution.module}`;
  const unit = bands.unitOf(input, rowDim, name);
  const needed = Math.max(halo.above, halo.below);
  if (bands.shared && (unit % convolution.stride !== 0 || bands.smallest * unit < needed)) {
    const expected = `in bands of multiples of ${convolution.stride} rows, and of at least ${needed}`;
    throw new ContextParallelError("tensor", name, expected, `in bands of ${bands.smallest * unit} or more`);
  }
  const { above, below } = exchangeRows(input, halo, bands, group);
  const parts = [above, input, below].filter((part) => part !== undefined);
  const heightPadding = [above ? 0 : convolution.padding[0], below ? 0 : convolution.padding[1]] as const;
  return { ...given, input: concatenate(parts, rowDim), heightPadding };
}

/**
 * Both halos of a band, each in one exchange with a neighbour. Pairs of an even upper member go first:
 * so every member meets its neighbours in two rounds, however many there are.
 */
function exchangeRows(
  band: Tensor,
  halo: Halo,
  bands: Bands,
  group: ProcessGroup,
): { readonly above: Tensor | undefined; readonly below: Tensor | undefined } {
  const rows = band.size(rowDim);
  const exchange = (peer: number, sent: Tensor, incoming: number): Tensor | undefined => {
    if (sent.size(rowDim) === 0 && incoming === 0) return undefined;
    const received = group.exchange(sent, peer, peer, band.shape.with(rowDim, incoming));
    return incoming === 0 ? undefined : received;
  };
  let above: Tensor | undefined;
  let below: Tensor | undefined;
  const meet = {
    above: (): void => {
      if (bands.above === undefined) return;
      above = exchange(bands.above, band.slice(rowDim, 0, halo.below), halo.above);
    },
    below: (): void => {
      if (bands.below === undefined) return;
      below = exchange(bands.below, band.slice(rowDim, rows - halo.above), halo.below);
    },
  };
  const order = group.index % 2 === 0 ? (["below", "above"] as const) : (["above", "below"] as const);
  for (const side of order) meet[side]();
  return { above, below };
}
