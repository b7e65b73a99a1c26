//! Convolution of video.

use super::check;
use super::copy::{contiguous, with_whole_rows};
use crate::error::RuntimeError;
use crate::stream::Stream;
use crate::tensor::Tensor;
use cpu_kernels::conv::{self, ConvGeometry};
use cuda_kernels::conv as gpu_conv;

/// weight ∗ input + bias over time, height and width, as torch's `conv3d` with zero padding, on
/// channels-last video: input (B, T, H, W, C), weight (O, C, kT, kH, kW) as torch stores it, bias
/// (O), all of one float type → (B, T′, H′, W′, O), with T′ = (T + padding - kT) / stride + 1.
///
/// `stride` is for (time, height, width), and `padding` the zeros [before, after] each. Sums are
/// float32, rounded once. Refuses other shapes and element types, a stride of 0, and a kernel larger
/// than the padded input.
pub fn conv3d(
    stream: &Stream,
    input: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    stride: [usize; 3],
    padding: [[usize; 2]; 3],
) -> Result<Tensor, RuntimeError> {
    const NAME: &str = "conv3d";
    check::is_float(NAME, "input", input)?;
    let &[batch, time, height, width, channels] = input.shape() else {
        return Err(RuntimeError::shape(NAME, "input", "(B, T, H, W, C)", input.shape()));
    };
    check::has_dtype_of(NAME, "weight", weight, "input", input)?;
    let &[columns, weight_channels, kernel_time, kernel_height, kernel_width] = weight.shape()
    else {
        return Err(RuntimeError::shape(NAME, "weight", "(O, C, kT, kH, kW)", weight.shape()));
    };
    if weight_channels != channels {
        let expected = format!("[O, {channels}, kT, kH, kW], for input {:?}", input.shape());
        return Err(RuntimeError::shape(NAME, "weight", expected, weight.shape()));
    }
    if stride.contains(&0) {
        let found = format!("{stride:?}");
        return Err(RuntimeError::argument(NAME, "stride", "at least 1 in each dimension", found));
    }
    let extents = [time, height, width];
    let overflows = |dim: usize| {
        let [before, after] = padding[dim];
        before.checked_add(after).and_then(|both| both.checked_add(extents[dim])).is_none()
    };
    if (0..3).any(overflows) {
        let found = format!("{padding:?}");
        return Err(RuntimeError::argument(NAME, "padding", "below 2^64 with the input", found));
    }
    let geometry = ConvGeometry { stride, padding };
    let kernel = [kernel_time, kernel_height, kernel_width];
    let Some([time, height, width]) = geometry.output(extents, kernel) else {
        let expected = format!(
            "of a kernel of at least 1 that fits input {:?} with padding {padding:?}",
            input.shape()
        );
        return Err(RuntimeError::shape(NAME, "weight", expected, weight.shape()));
    };
    let mut inputs = vec![with_whole_rows(stream, input)?, contiguous(stream, weight)?];
    if let Some(bias) = bias {
        check::has_dtype_of(NAME, "bias", bias, "input", input)?;
        check::has_shape(NAME, "bias", bias, &[columns], "the output channels of weight")?;
        inputs.push(contiguous(stream, bias)?);
    }
    let output = (input.dtype(), vec![batch, time, height, width, columns]);
    let [output] = stream.submit(
        NAME,
        inputs,
        [output],
        move |cpu, inputs, outputs| {
            conv::conv3d(cpu, &inputs[0], &inputs[1], inputs.get(2), &geometry, &outputs[0]);
            Ok(())
        },
        move |gpu, inputs, outputs| {
            let (input, weight, bias) = (&inputs[0], &inputs[1], inputs.get(2));
            Ok(gpu_conv::conv3d(gpu, input, weight, bias, stride, padding, &outputs[0])?)
        },
    )?;
    Ok(output)
}
