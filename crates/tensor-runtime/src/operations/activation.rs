//! Activation functions.

use super::{check, gpu_types::on_gpu};
use crate::error::RuntimeError;
use crate::stream::Stream;
use crate::tensor::Tensor;
pub use cpu_kernels::linear::Activation;
use cpu_kernels::unary;

/// The activation function of each element, computed in float32 and rounded once to the element
/// type of `input`, a float.
pub fn activation(
    stream: &Stream,
    kind: Activation,
    input: &Tensor,
) -> Result<Tensor, RuntimeError> {
    check::is_float("activation", "input", input)?;
    let output = (input.dtype(), input.shape().to_vec());
    let inputs = vec![input.clone()];
    let [output] = stream.submit(
        "activation",
        inputs,
        [output],
        move |cpu, inputs, outputs| {
            unary::activation(cpu, kind, &inputs[0], &outputs[0]);
            Ok(())
        },
        move |gpu, inputs, outputs| {
            Ok(cuda_kernels::unary::activation(gpu, on_gpu(kind), &inputs[0], &outputs[0])?)
        },
    )?;
    Ok(output)
}
