//! Convolution over frames, height and width, channels last.

use crate::number::{blocks, grid, number};
use crate::{DType, DeviceView, Gpu};
use cuda::{Argument, CudaError, DeviceMemory};

/// output = weight ∗ input + bias, as torch's `conv3d` with zero padding, on channels-last tensors.
///
/// `input` is (B, T, H, W, C) with consecutive channels and any other strides, `weight`
/// (O, C, kT, kH, kW) contiguous as torch stores it, `bias` (O), `output` (B, T', H', W', O). All have
/// one element type: `Float32`, `BFloat16` or `Float16`; sums are kept in float32 and rounded once,
/// after the bias. `stride` and `padding`, the zeros [before, behind], are for (frames, height, width).
///
/// An output position depends on the input under the kernel, weight, bias and device alone. No matrix
/// of unrolled patches is made; the weight is brought into the order of the product for the call.
/// Quickest where channels and strides are multiples of 16 elements.
///
/// # Errors
///
/// What the device refuses, and `Unsupported` for 2³¹ output positions and more.
pub fn conv3d(
    gpu: &Gpu,
    input: &DeviceView,
    weight: &DeviceView,
    bias: Option<&DeviceView>,
    stride: [usize; 3],
    padding: [[usize; 2]; 3],
    output: &DeviceView,
) -> Result<(), CudaError> {
    if output.count() == 0 {
        return Ok(());
    }
    let (input_shape, output_shape, weight_shape) = (input.shape(), output.shape(), weight.shape());
    let (columns, channels) = (weight_shape[0], weight_shape[1]);
    let positions: usize = output_shape[..4].iter().product();
    let ordered = taps_first(gpu, weight)?;
    let weight = ordered.as_ref().map_or(weight.pointer(), DeviceMemory::address);
    let strides = &input.strides()[..4];
    let bias_pointer = bias.map_or(0, DeviceView::pointer);

    let whole_vectors = input.is_aligned()
        && output.is_aligned()
        && bias_pointer.is_multiple_of(16)
        && channels.is_multiple_of(16)
        && strides.iter().all(|stride| stride.is_multiple_of(16));
    let kernel = match (input.dtype, whole_vectors.then(|| Block::of(columns, channels))) {
        (DType::BFloat16, None) => "convolution_bf16",
        (DType::BFloat16, Some(Block::Wide)) => "convolution_bf16_aligned",
        (DType::BFloat16, Some(Block::Deep)) => "convolution_bf16_deep",
        (DType::BFloat16, Some(Block::Narrow)) => "convolution_bf16_narrow",
        (DType::Float16, None) => "convolution_f16",
        (DType::Float16, Some(Block::Wide)) => "convolution_f16_aligned",
        (DType::Float16, Some(Block::Deep)) => "convolution_f16_deep",
        (DType::Float16, Some(Block::Narrow)) => "convolution_f16_narrow",
        _ => "convolution_f32",
    };
    let programs = blocks(gpu, kernel, "BLOCK_POSITIONS", positions)
        * blocks(gpu, kernel, "BLOCK_COLUMNS", columns);
    let mut arguments = vec![
        Argument::Pointer(input.pointer()),
        Argument::Pointer(weight),
        Argument::Pointer(bias_pointer),
        Argument::Pointer(output.pointer()),
    ];
    let extents = [&input_shape[1..4], &output_shape[1..4], &weight_shape[2..]].concat();
    let counts = [positions, columns, channels, padded(channels)]
        .into_iter()
        .chain(extents)
        .chain(stride)
        .chain(padding.map(|[before, _]| before));
    for count in counts {
        arguments.push(number("conv3d", count)?);
    }
    arguments.extend(strides.iter().map(|&stride| Argument::I64(stride as i64)));
    arguments.push(Argument::I32(bias.is_some().into()));
    gpu.launch(kernel, grid("conv3d", programs)?, &arguments)
}

/// Blocks that a product may be cut into.
enum Block {
    /// Many columns, few channels at a time.
    Wide,
    /// Many columns, and twice as many channels at a time.
    Deep,
    /// Few columns.
    Narrow,
}

impl Block {
    /// The block that a product of so many columns and channels leaves least of unused. Wide ones
    /// have rows that begin at whole vectors.
    fn of(columns: usize, channels: usize) -> Block {
        if columns <= 64 || !columns.is_multiple_of(16) {
            Block::Narrow
        } else if channels.is_multiple_of(64) {
            Block::Deep
        } else {
            Block::Wide
        }
    }
}

/// Channels with the zeros that a tap's row of the ordered weight ends in, so that rows begin at
/// whole vectors.
fn padded(channels: usize) -> usize {
    channels.next_multiple_of(16)
}

/// The weight as (O, taps, [`padded`] C) from (O, C, taps), or nothing where it is that already.
///
/// The memory is given back in the stream's order: after what is queued by then.
fn taps_first(gpu: &Gpu, weight: &DeviceView) -> Result<Option<DeviceMemory>, CudaError> {
    let &[columns, channels, ref kernel @ ..] = weight.shape() else {
        panic!("conv3d: weight has shape {:?}, expected (O, C, kT, kH, kW)", weight.shape());
    };
    let taps: usize = kernel.iter().product();
    if taps == 1 && padded(channels) == channels && weight.is_aligned() {
        return Ok(None);
    }
    let size = weight.dtype.size();
    let ordered = gpu.device().allocate(columns * taps * padded(channels) * size)?;
    let name = if size == 2 { "convolution_weight_16" } else { "convolution_weight_32" };
    let programs = [
        columns,
        blocks(gpu, name, "BLOCK_CHANNELS", padded(channels)),
        blocks(gpu, name, "BLOCK_TAPS", taps),
    ];
    let arguments = [
        Argument::Pointer(weight.pointer()),
        Argument::Pointer(ordered.address()),
        number("conv3d", channels)?,
        number("conv3d", taps)?,
        number("conv3d", padded(channels))?,
    ];
    gpu.launch(name, programs.map(|blocks| blocks as u32), &arguments)?;
    Ok(Some(ordered))
}

#[cfg(test)]
#[path = "conv_tests.rs"]
mod tests;
