//! Normalisations over the last dimension. Inputs have consecutive elements along it and any other
//! strides; a row's bytes depend on that row, the parameters and the number of channels alone.

use crate::number::{blocks, grid};
use crate::rows::{Parameter, Rows, broadcast, variant};
use crate::unary::{self, Activation};
use crate::{DeviceView, Gpu};
use cuda::{Argument, CudaError};

/// What [`layer_norm`] does after normalising.
pub struct LayerNorm<'a> {
    /// (C), of the input's element type or `Float32`.
    pub weight: Option<&'a DeviceView>,
    /// (C), of the input's element type or `Float32`.
    pub bias: Option<&'a DeviceView>,
    /// `Float32`, repeated to the input's shape, consecutive along a row.
    pub scale: Option<&'a DeviceView>,
    /// `Float32`, repeated to the input's shape, consecutive along a row.
    pub shift: Option<&'a DeviceView>,
    /// Added to the variance.
    pub epsilon: f32,
}

/// output = ((x - mean) / √(variance + ε) · weight + bias) · (1 + scale) + shift over each row, in
/// `f32`, rounded once.
///
/// # Errors
///
/// What the device refuses, and `Unsupported` for rows of 2³¹ elements and more.
pub fn layer_norm(
    gpu: &Gpu,
    input: &DeviceView,
    options: &LayerNorm,
    output: &DeviceView,
) -> Result<(), CudaError> {
    const NAME: &str = "layer_norm";
    let Some((shape, channels)) = split(output) else {
        return Ok(());
    };
    let rank = shape.len();
    // Without one the kernel reads nothing; any strides do.
    let repeated = |view: Option<&DeviceView>| {
        view.map_or_else(|| vec![0; rank + 1], |view| broadcast(view, output.shape()))
    };
    let (scale, shift) = (repeated(options.scale), repeated(options.shift));
    let rows = Rows::new(shape, [&input.strides()[..rank], &scale[..rank], &shift[..rank]]);
    let (weight, bias) = (Parameter(options.weight), Parameter(options.bias));
    let read = [Some(input), options.scale, options.shift, Some(output)];
    let aligned = channels.is_multiple_of(16)
        && rows.are_aligned()
        && read.into_iter().flatten().all(DeviceView::is_aligned)
        && weight.is_aligned()
        && bias.is_aligned();
    let kernel = variant(NAME, input.dtype, aligned);
    for part in rows.parts() {
        let modulation = |operand: usize, view: Option<&DeviceView>| {
            view.map_or(Argument::Pointer(0), |view| part.pointer(operand, view))
        };
        let mut arguments = vec![
            part.pointer(0, input),
            weight.pointer(),
            bias.pointer(),
            modulation(1, options.scale),
            modulation(2, options.shift),
            part.target(output, channels),
        ];
        arguments.extend(part.places(NAME, channels)?);
        arguments.extend([
            weight.stride(),
            bias.stride(),
            weight.kind(),
            bias.kind(),
            Argument::I32(options.scale.is_some().into()),
            Argument::I32(options.shift.is_some().into()),
            Argument::F32(options.epsilon),
        ]);
        let programs = blocks(gpu, &kernel, "ROWS", part.count);
        gpu.launch(&kernel, grid(NAME, programs)?, &arguments)?;
    }
    Ok(())
}

/// output = x / √(mean(x²) + ε) · weight over each row, in `f32`. It is rounded at the end, and with
/// `round_before_weight` before the weight comes in too. The weight (C) is of the input's element
/// type or `Float32`.
///
/// # Errors
///
/// As [`layer_norm`].
pub fn rms_norm(
    gpu: &Gpu,
    input: &DeviceView,
    weight: Option<&DeviceView>,
    epsilon: f32,
    round_before_weight: bool,
    output: &DeviceView,
) -> Result<(), CudaError> {
    const NAME: &str = "rms_norm";
    let Some((shape, channels)) = split(output) else {
        return Ok(());
    };
    let rows = Rows::new(shape, [&input.strides()[..shape.len()]]);
    let weight = Parameter(weight);
    let aligned = channels.is_multiple_of(16)
        && rows.are_aligned()
        && input.is_aligned()
        && output.is_aligned()
        && weight.is_aligned();
    let kernel = variant(NAME, input.dtype, aligned);
    for part in rows.parts() {
        let mut arguments =
            vec![part.pointer(0, input), weight.pointer(), part.target(output, channels)];
        arguments.extend(part.places(NAME, channels)?);
        arguments.extend([
            weight.stride(),
            weight.kind(),
            Argument::I32(round_before_weight.into()),
            Argument::F32(epsilon),
        ]);
        let programs = blocks(gpu, &kernel, "ROWS", part.count);
        gpu.launch(&kernel, grid(NAME, programs)?, &arguments)?;
    }
    Ok(())
}

/// output = activation(x / max(‖x‖₂, 1e-12) · √C · weight + bias) over each row, as diffusers'
/// `WanRMS_norm` with an activation behind it: in `f32`, and for 16-bit floats rounded after each
/// step. Weight and bias (C) are of the input's element type or `Float32`.
///
/// # Errors
///
/// As [`layer_norm`].
pub fn channel_norm(
    gpu: &Gpu,
    input: &DeviceView,
    weight: &DeviceView,
    bias: Option<&DeviceView>,
    activation: Activation,
    output: &DeviceView,
) -> Result<(), CudaError> {
    const NAME: &str = "channel_norm";
    let Some((shape, channels)) = split(output) else {
        return Ok(());
    };
    let rows = Rows::new(shape, [&input.strides()[..shape.len()]]);
    let (weight, bias) = (Parameter(Some(weight)), Parameter(bias));
    let aligned = channels.is_multiple_of(16)
        && rows.are_aligned()
        && input.is_aligned()
        && output.is_aligned()
        && weight.is_aligned()
        && bias.is_aligned();
    let width = match channels {
        0..=128 => "channel_norm_128",
        129..=256 => "channel_norm_256",
        _ => "channel_norm_512",
    };
    let kernel = variant(width, input.dtype, aligned);
    for part in rows.parts() {
        let mut arguments = vec![
            part.pointer(0, input),
            weight.pointer(),
            bias.pointer(),
            part.target(output, channels),
        ];
        arguments.extend(part.places(NAME, channels)?);
        arguments.extend([
            weight.stride(),
            bias.stride(),
            weight.kind(),
            bias.kind(),
            Argument::I32((activation == Activation::Silu).into()),
            Argument::F32((channels as f64).sqrt() as f32),
        ]);
        let programs = blocks(gpu, &kernel, "ROWS", part.count);
        gpu.launch(&kernel, grid(NAME, programs)?, &arguments)?;
    }
    match activation {
        Activation::None | Activation::Silu => Ok(()),
        // What goes into the activation was rounded to the output's type anyway.
        other => unary::activation(gpu, other, output, output),
    }
}

/// The shape of the rows of a view and their size; nothing where it has no elements.
///
/// # Panics
/// Where it has no dimension.
fn split(output: &DeviceView) -> Option<(&[usize], usize)> {
    let (channels, rows) = output.shape().split_last().expect("rows have a dimension");
    (output.count() > 0).then_some((rows, *channels))
}

#[cfg(test)]
#[path = "normalization_tests.rs"]
mod tests;
