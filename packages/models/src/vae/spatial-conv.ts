import { Module, type Parameter, type RowConvolutionInput } from "@wan-ts/nn";
import { conv3d, type Tensor } from "@wan-ts/tensor";

/** Stride and padding of a {@link SpatialConv}, the same in height and width. */
export interface SpatialConvSettings {
  readonly kernel: number;
  readonly stride: number;
  /** Zeros [before, after]. */
  readonly padding: readonly [number, number];
}

/** A convolution of each frame by itself; parameters as torch's `nn.Conv2d`. */
export class SpatialConv extends Module<RowConvolutionInput, Tensor> {
  readonly weight: Parameter;
  readonly bias: Parameter;
  readonly settings: SpatialConvSettings;

  constructor(inputs: number, outputs: number, settings: SpatialConvSettings) {
    super();
    this.weight = this.parameter("weight", [outputs, inputs, settings.kernel, settings.kernel]);
    this.bias = this.parameter("bias", [outputs]);
    this.settings = settings;
  }

  /** (B, T, H, W, inputs) → (B, T, H′, W′, outputs). */
  protected override forward({ input, heightPadding }: RowConvolutionInput): Tensor {
    const { stride, padding } = this.settings;
    return conv3d(input, this.weight.value.unsqueeze(2), {
      bias: this.bias.value,
      stride: [1, stride, stride],
      padding: [[0, 0], heightPadding ?? padding, padding],
    });
  }
}
