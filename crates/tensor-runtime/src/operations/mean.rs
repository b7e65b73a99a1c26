//! The mean of all elements.

use super::check;
use super::copy::contiguous;
use crate::error::RuntimeError;
use crate::stream::Stream;
use crate::tensor::Tensor;
use cpu_kernels::{DType, mean as kernel};

/// The mean of all elements of a float32 `input` → float32 \[\]. Sums in the order of torch's CPU
/// kernel on one thread, so that the result is the same to the last bit; NaN for no elements.
///
/// Refuses other element types.
pub fn mean(stream: &Stream, input: &Tensor) -> Result<Tensor, RuntimeError> {
    const NAME: &str = "mean";
    check::has_dtype(NAME, "input", input, DType::Float32)?;
    let inputs = vec![contiguous(stream, input)?];
    let output = (DType::Float32, vec![]);
    let [output] = stream.submit(
        NAME,
        inputs,
        [output],
        |_, inputs, outputs| {
            kernel::mean(&inputs[0], &outputs[0]);
            Ok(())
        },
        |gpu, inputs, outputs| Ok(cuda_kernels::mean::mean(gpu, &inputs[0], &outputs[0])?),
    )?;
    Ok(output)
}
