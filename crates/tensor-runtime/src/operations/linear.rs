//! Linear layers.

use super::copy::{contiguous, reshaped, with_whole_rows};
use super::{check, gpu_types::on_gpu};
use crate::error::RuntimeError;
use crate::stream::Stream;
use crate::tensor::Tensor;
use cpu_kernels::linear::{self, Activation};

/// activation(input · weightᵀ + bias) for an input (…, K), a weight (N, K) as torch's `nn.Linear`
/// stores it, and a bias (N), all of one float type → (…, N).
///
/// Sums are float32 and rounded once; the activation reads the rounded sum and is rounded again, as
/// two operations would be. A row of the result depends on the input's row alone: its bytes are the
/// same whatever the number of rows and threads. Refuses other shapes and element types.
pub fn linear(
    stream: &Stream,
    input: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    activation: Activation,
) -> Result<Tensor, RuntimeError> {
    const NAME: &str = "linear";
    let channels = check::channels(NAME, input)?;
    check::has_dtype_of(NAME, "weight", weight, "input", input)?;
    let &[columns, weight_channels] = weight.shape() else {
        return Err(RuntimeError::shape(NAME, "weight", "(N, K)", weight.shape()));
    };
    if weight_channels != channels {
        let expected = format!("[N, {channels}], for input {:?}", input.shape());
        return Err(RuntimeError::shape(NAME, "weight", expected, weight.shape()));
    }
    let leading = &input.shape()[..input.shape().len() - 1];
    let rows = leading.iter().product();
    let input_rows = reshaped(stream, &with_whole_rows(stream, input)?, &[rows, channels])?;
    let mut inputs = vec![input_rows, contiguous(stream, weight)?];
    if let Some(bias) = bias {
        check::has_dtype_of(NAME, "bias", bias, "input", input)?;
        check::has_shape(NAME, "bias", bias, &[columns], "the rows of weight")?;
        inputs.push(contiguous(stream, bias)?);
    }
    let output = (input.dtype(), vec![rows, columns]);
    let [output] = stream.submit(
        NAME,
        inputs,
        [output],
        move |cpu, inputs, outputs| {
            linear::linear(cpu, &inputs[0], &inputs[1], inputs.get(2), activation, &outputs[0]);
            Ok(())
        },
        move |gpu, inputs, outputs| {
            let (input, weight, bias) = (&inputs[0], &inputs[1], inputs.get(2));
            let activation = on_gpu(activation);
            Ok(cuda_kernels::linear::linear(gpu, input, weight, bias, activation, &outputs[0])?)
        },
    )?;
    reshaped(stream, &output, &[leading, &[columns]].concat())
}
