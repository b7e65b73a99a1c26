import { Module, type Parameter } from "@wan-ts/nn";
import { type Activation, channelNorm, type Tensor } from "@wan-ts/tensor";

/** Settings of {@link ChannelNorm}. */
export interface ChannelNormSettings {
  /** How many dimensions of size 1 checkpoints give `gamma` after the channels: 3 for video, 2 for images. */
  readonly trailingDims: 2 | 3;
  /** Fused behind the norm; by default none. */
  readonly activation?: Activation;
}

/**
 * Channels of each pixel brought to length √C, times `gamma`: an L2 norm, which diffusers calls
 * `WanRMS_norm`.
 */
export class ChannelNorm extends Module<{ readonly input: Tensor }, Tensor> {
  readonly gamma: Parameter;
  readonly channels: number;
  readonly activation: Activation;

  constructor(channels: number, { trailingDims, activation = "none" }: ChannelNormSettings) {
    super();
    this.gamma = this.parameter("gamma", [channels, ...Array<number>(trailingDims).fill(1)]);
    this.channels = channels;
    this.activation = activation;
  }

  /** (…, C) → (…, C). */
  protected override forward({ input }: { readonly input: Tensor }): Tensor {
    const weight = this.gamma.value.reshape([this.channels]);
    return channelNorm(input, { weight, activation: this.activation });
  }
}
