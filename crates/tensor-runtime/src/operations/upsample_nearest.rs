//! Larger pictures.

use super::check;
use crate::error::RuntimeError;
use crate::stream::Stream;
use crate::tensor::Tensor;
use cpu_kernels::movement;

/// Each pixel of channels-last video (B, T, H, W, C) repeated `factor` times in height and width:
/// (B, T, H · factor, W · factor, C), of any element type.
///
/// Refuses other ranks and a factor of 0.
pub fn upsample_nearest(
    stream: &Stream,
    input: &Tensor,
    factor: usize,
) -> Result<Tensor, RuntimeError> {
    const NAME: &str = "upsampleNearest";
    check::has_rank(NAME, "input", input, "(B, T, H, W, C)", 5)?;
    if factor == 0 {
        return Err(RuntimeError::argument(NAME, "factor", "at least 1", factor));
    }
    let mut shape = input.shape().to_vec();
    for dim in [2, 3] {
        shape[dim] = shape[dim].saturating_mul(factor);
    }
    let output = (input.dtype(), shape);
    let inputs = vec![input.clone()];
    let [output] = stream.submit(
        NAME,
        inputs,
        [output],
        move |cpu, inputs, outputs| {
            movement::upsample_nearest(cpu, &inputs[0], factor, &outputs[0]);
            Ok(())
        },
        move |gpu, inputs, outputs| {
            Ok(cuda_kernels::movement::upsample_nearest(gpu, &inputs[0], factor, &outputs[0])?)
        },
    )?;
    Ok(output)
}
