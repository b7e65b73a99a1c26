//! Linear combinations of tensors.

use super::check;
use super::copy::contiguous;
use crate::error::RuntimeError;
use crate::stream::Stream;
use crate::tensor::Tensor;
use cpu_kernels::{DType, combination};

/// Σ coefficients\[i\] · tensors\[i\], for one or more float32 tensors of one shape. Each element is
/// summed in float64, in order, and rounded once: what a scheduler's step needs to follow its
/// float64 schedule.
///
/// Refuses an empty list, another number of coefficients, other element types, and shapes that
/// differ.
pub fn weighted_sum(
    stream: &Stream,
    tensors: &[Tensor],
    coefficients: &[f64],
) -> Result<Tensor, RuntimeError> {
    const NAME: &str = "weightedSum";
    let Some(first) = tensors.first() else {
        return Err(RuntimeError::argument(NAME, "tensors", "at least one", "none"));
    };
    if coefficients.len() != tensors.len() {
        let expected = format!("as many as tensors, {}", tensors.len());
        return Err(RuntimeError::argument(NAME, "coefficients", expected, coefficients.len()));
    }
    for (index, tensor) in tensors.iter().enumerate() {
        let argument = format!("tensors[{index}]");
        check::has_dtype(NAME, &argument, tensor, DType::Float32)?;
        check::has_shape(NAME, &argument, tensor, first.shape(), "the shape of tensors[0]")?;
    }
    let inputs =
        tensors.iter().map(|tensor| contiguous(stream, tensor)).collect::<Result<Vec<_>, _>>()?;
    let coefficients = coefficients.to_vec();
    let on_gpu = coefficients.clone();
    let output = (DType::Float32, first.shape().to_vec());
    let [output] = stream.submit(
        NAME,
        inputs,
        [output],
        move |cpu, inputs, outputs| {
            combination::weighted_sum(cpu, inputs, &coefficients, &outputs[0]);
            Ok(())
        },
        move |gpu, inputs, outputs| {
            Ok(cuda_kernels::combination::weighted_sum(gpu, inputs, &on_gpu, &outputs[0])?)
        },
    )?;
    Ok(output)
}
