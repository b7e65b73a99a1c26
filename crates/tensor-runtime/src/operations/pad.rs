//! Zeros around a tensor.

use crate::error::RuntimeError;
use crate::stream::Stream;
use crate::tensor::Tensor;
use cpu_kernels::movement;

/// `input` with zeros before and after it along each dimension: `padding[dim]` is [before, after].
///
/// Refuses another number of pairs than dimensions.
pub fn pad(
    stream: &Stream,
    input: &Tensor,
    padding: &[[usize; 2]],
) -> Result<Tensor, RuntimeError> {
    let rank = input.shape().len();
    if padding.len() != rank {
        let expected = format!("{rank} pairs, the dimensions of {:?}", input.shape());
        return Err(RuntimeError::argument("pad", "padding", expected, padding.len()));
    }
    let sizes = input.shape().iter().zip(padding);
    let shape = sizes
        .map(|(size, [before, after])| size.saturating_add(*before).saturating_add(*after))
        .collect();
    let before: Vec<usize> = padding.iter().map(|[before, _]| *before).collect();
    let output = (input.dtype(), shape);
    let inputs = vec![input.clone()];
    let before_on_gpu = before.clone();
    let [output] = stream.submit(
        "pad",
        inputs,
        [output],
        move |cpu, inputs, outputs| {
            movement::pad(cpu, &inputs[0], &before, &outputs[0]);
            Ok(())
        },
        move |gpu, inputs, outputs| {
            Ok(cuda_kernels::movement::pad(gpu, &inputs[0], &before_on_gpu, &outputs[0])?)
        },
    )?;
    Ok(output)
}
