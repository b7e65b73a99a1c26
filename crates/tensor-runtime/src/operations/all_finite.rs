//! Whether a tensor's values are finite.

use crate::error::RuntimeError;
use crate::stream::Stream;
use crate::tensor::Tensor;
use cpu_kernels::{DType, finite};

/// A uint8 tensor \[1\]: 1 where no element of `input` is infinite or NaN, else 0. Integers never
/// are, nor is any element of an empty tensor.
pub fn all_finite(stream: &Stream, input: &Tensor) -> Result<Tensor, RuntimeError> {
    let (inputs, output) = (vec![input.clone()], (DType::UInt8, vec![1]));
    let [output] = stream.submit(
        "allFinite",
        inputs,
        [output],
        |cpu, inputs, outputs| {
            let finite = finite::all_finite(cpu, &inputs[0]);
            cpu_kernels::movement::fill(cpu, &outputs[0], f64::from(u8::from(finite)));
            Ok(())
        },
        |gpu, inputs, outputs| Ok(cuda_kernels::finite::all_finite(gpu, &inputs[0], &outputs[0])?),
    )?;
    Ok(output)
}
