//! Rotary position embedding, alone and behind a normalisation.

use super::check;
use super::copy::with_whole_rows;
use crate::error::RuntimeError;
use crate::stream::Stream;
use crate::tensor::Tensor;
use cpu_kernels::{DType, rotary};
use cuda_kernels::rotary as gpu_rotary;

/// Rotary position embedding (Su et al. 2021) of interleaved pairs: (x₀, x₁) becomes
/// (x₀ cos - x₁ sin, x₀ sin + x₁ cos), in float32, rounded once to the input's element type.
///
/// `input` is (B, S, H, D), a float; `cos` and `sin` are float32 (B, S, D / 2) or (1, S, D / 2).
/// The result is (B, S, H, D). Refuses other shapes and element types, and an odd D.
pub fn rotary(
    stream: &Stream,
    input: &Tensor,
    cos: &Tensor,
    sin: &Tensor,
) -> Result<Tensor, RuntimeError> {
    const NAME: &str = "rotary";
    check::is_float(NAME, "input", input)?;
    let &[batch, length, _, size] = input.shape() else {
        return Err(RuntimeError::shape(NAME, "input", "(B, S, H, D)", input.shape()));
    };
    if !size.is_multiple_of(2) {
        return Err(RuntimeError::shape(NAME, "input", "(B, S, H, D), D even", input.shape()));
    }
    check_angles(NAME, cos, sin, [batch, length, size / 2])?;
    let inputs = vec![
        with_whole_rows(stream, input)?,
        with_whole_rows(stream, cos)?,
        with_whole_rows(stream, sin)?,
    ];
    let output = (input.dtype(), input.shape().to_vec());
    let [output] = stream.submit(
        NAME,
        inputs,
        [output],
        |cpu, inputs, outputs| {
            rotary::rotary(cpu, &inputs[0], &inputs[1], &inputs[2], &outputs[0]);
            Ok(())
        },
        |gpu, inputs, outputs| {
            Ok(gpu_rotary::rotary(gpu, &inputs[0], &inputs[1], &inputs[2], &outputs[0])?)
        },
    )?;
    Ok(output)
}

/// [`super::rms_norm`] over all heads of `input` (B, S, H · D), a float, rounded to its element
/// type, then [`rotary`] → (B, S, H, D): the bytes of the two operations, in one pass over memory.
///
/// `weight` is (H · D), of the input's element type or float32; `cos` and `sin` are as in
/// [`rotary`]. Refuses other shapes and element types, heads that don't divide the channels or give
/// an odd D, and a negative epsilon.
pub fn rms_norm_rotary(
    stream: &Stream,
    input: &Tensor,
    weight: &Tensor,
    cos: &Tensor,
    sin: &Tensor,
    heads: usize,
    epsilon: f64,
) -> Result<Tensor, RuntimeError> {
    const NAME: &str = "rmsNormRotary";
    check::is_epsilon(NAME, epsilon)?;
    check::is_float(NAME, "input", input)?;
    let &[batch, length, channels] = input.shape() else {
        return Err(RuntimeError::shape(NAME, "input", "(B, S, H · D)", input.shape()));
    };
    if heads == 0 || !channels.is_multiple_of(heads) || !(channels / heads).is_multiple_of(2) {
        let expected = format!("a number that cuts {channels} channels into heads of even size");
        return Err(RuntimeError::argument(NAME, "heads", expected, heads));
    }
    let size = channels / heads;
    check::is_parameter(NAME, "weight", weight, input, channels)?;
    check_angles(NAME, cos, sin, [batch, length, size / 2])?;
    let inputs = vec![
        with_whole_rows(stream, input)?,
        weight.clone(),
        with_whole_rows(stream, cos)?,
        with_whole_rows(stream, sin)?,
    ];
    let epsilon = epsilon as f32;
    let output = (input.dtype(), vec![batch, length, heads, size]);
    let [output] = stream.submit(
        NAME,
        inputs,
        [output],
        move |cpu, inputs, outputs| {
            let [input, weight, cos, sin] = inputs else { unreachable!("four were submitted") };
            rotary::rms_norm_rotary(cpu, input, weight, epsilon, cos, sin, &outputs[0]);
            Ok(())
        },
        move |gpu, inputs, outputs| {
            let [input, weight, cos, sin] = inputs else { unreachable!("four were submitted") };
            let output = &outputs[0];
            Ok(gpu_rotary::rms_norm_rotary(gpu, input, weight, epsilon, cos, sin, output)?)
        },
    )?;
    Ok(output)
}

fn check_angles(
    operation: &'static str,
    cos: &Tensor,
    sin: &Tensor,
    [batch, length, pairs]: [usize; 3],
) -> Result<(), RuntimeError> {
    for (argument, tensor) in [("cos", cos), ("sin", sin)] {
        check::has_dtype(operation, argument, tensor, DType::Float32)?;
        let shape = tensor.shape();
        if shape != [batch, length, pairs] && shape != [1, length, pairs] {
            let expected = format!("[{batch} or 1, {length}, {pairs}], (B or 1, S, D / 2)");
            return Err(RuntimeError::shape(operation, argument, expected, shape));
        }
    }
    Ok(())
}
