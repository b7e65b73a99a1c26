//! Rotary position embedding (Su et al. 2021, "RoFormer") of interleaved pairs, as diffusers' Wan
//! transformer applies it: (x₀, x₁) → (x₀ cos - x₁ sin, x₀ sin + x₁ cos).

use crate::number::{blocks, grid, number};
use crate::rows::{Parameter, Rows, broadcast, variant};
use crate::{DeviceView, Gpu};
use cuda::{Argument, CudaError};

/// Rotates `input` (B, S, H, D) into `output` of that shape, in `f32`, rounded once.
///
/// The input has consecutive elements along D and any other strides; `cos` and `sin` are `Float32`,
/// repeated to (B, S, D / 2), consecutive along the last dimension.
///
/// # Errors
///
/// What the device refuses, and `Unsupported` for heads of 2³¹ elements and more.
///
/// # Panics
/// Where the output has another number of dimensions.
pub fn rotary(
    gpu: &Gpu,
    input: &DeviceView,
    cos: &DeviceView,
    sin: &DeviceView,
    output: &DeviceView,
) -> Result<(), CudaError> {
    const NAME: &str = "rotary";
    let &[batch, length, heads, size] = output.shape() else {
        panic!("rotary: output has shape {:?}, expected (B, S, H, D)", output.shape());
    };
    if output.count() == 0 {
        return Ok(());
    }
    let angles = [cos, sin].map(|view| {
        let strides = broadcast(view, &[batch, length, size / 2]);
        [strides[0], strides[1], 0]
    });
    let rows = Rows::new(&[batch, length, heads], [&input.strides()[..3], &angles[0], &angles[1]]);
    let aligned = size.is_multiple_of(16)
        && rows.are_aligned()
        && [input, cos, sin, output].into_iter().all(DeviceView::is_aligned);
    let kernel = variant(NAME, input.dtype, aligned);
    for part in rows.parts() {
        let mut arguments = vec![
            part.pointer(0, input),
            part.pointer(1, cos),
            part.pointer(2, sin),
            part.target(output, size),
        ];
        arguments.extend(part.places(NAME, size)?);
        let programs = blocks(gpu, &kernel, "ROWS", part.count);
        gpu.launch(&kernel, grid(NAME, programs)?, &arguments)?;
    }
    Ok(())
}

/// [`crate::normalization::rms_norm`] over all heads of `input` (B, S, H · D), rounded, then
/// [`rotary`] into `output` (B, S, H, D): the bytes of the two, in one pass over memory. The weight
/// (H · D) is of the input's element type or `Float32`.
///
/// # Errors
///
/// As [`rotary`].
///
/// # Panics
/// As [`rotary`].
pub fn rms_norm_rotary(
    gpu: &Gpu,
    input: &DeviceView,
    weight: &DeviceView,
    epsilon: f32,
    cos: &DeviceView,
    sin: &DeviceView,
    output: &DeviceView,
) -> Result<(), CudaError> {
    const NAME: &str = "rms_norm_rotary";
    let &[batch, length, heads, size] = output.shape() else {
        panic!("rms_norm_rotary: output has shape {:?}, expected (B, S, H, D)", output.shape());
    };
    if output.count() == 0 {
        return Ok(());
    }
    let (channels, pairs) = (heads * size, size / 2);
    let angles = [cos, sin].map(|view| broadcast(view, &[batch, length, pairs]));
    let rows =
        Rows::new(&[batch, length], [&input.strides()[..2], &angles[0][..2], &angles[1][..2]]);
    let weight = Parameter(Some(weight));
    let aligned = pairs.is_multiple_of(16)
        && rows.are_aligned()
        && [input, cos, sin, output].into_iter().all(DeviceView::is_aligned)
        && weight.is_aligned();
    let kernel = variant(NAME, input.dtype, aligned);
    for part in rows.parts() {
        let mut arguments = vec![
            part.pointer(0, input),
            weight.pointer(),
            part.pointer(1, cos),
            part.pointer(2, sin),
            part.target(output, channels),
        ];
        arguments.extend(part.places(NAME, channels)?);
        arguments.extend([
            weight.stride(),
            weight.kind(),
            number(NAME, pairs)?,
            Argument::F32(epsilon),
        ]);
        let programs = blocks(gpu, &kernel, "ROWS", part.count);
        gpu.launch(&kernel, grid(NAME, programs)?, &arguments)?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "rotary_tests.rs"]
mod tests;
