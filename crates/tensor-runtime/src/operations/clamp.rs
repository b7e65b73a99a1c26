//! Values held between bounds.

use super::check;
use crate::error::RuntimeError;
use crate::stream::Stream;
use crate::tensor::Tensor;
use cpu_kernels::unary;

/// Each element held between `low` and `high`, which may be infinite; NaN stays NaN.
///
/// Refuses bounds that are NaN or the wrong way round, and finite ones that an integer tensor's
/// type doesn't hold.
pub fn clamp(stream: &Stream, input: &Tensor, low: f64, high: f64) -> Result<Tensor, RuntimeError> {
    if low.is_nan() {
        return Err(RuntimeError::argument("clamp", "low", "a number", low));
    }
    if high.is_nan() || low > high {
        let expected = format!("a number of at least low, {low}");
        return Err(RuntimeError::argument("clamp", "high", expected, high));
    }
    if low != f64::NEG_INFINITY {
        check::is_representable("clamp", "low", input.dtype(), low)?;
    }
    if high != f64::INFINITY {
        check::is_representable("clamp", "high", input.dtype(), high)?;
    }
    let output = (input.dtype(), input.shape().to_vec());
    let inputs = vec![input.clone()];
    let [output] = stream.submit(
        "clamp",
        inputs,
        [output],
        move |cpu, inputs, outputs| {
            unary::clamp(cpu, &inputs[0], low, high, &outputs[0]);
            Ok(())
        },
        move |gpu, inputs, outputs| {
            Ok(cuda_kernels::unary::clamp(gpu, &inputs[0], low, high, &outputs[0])?)
        },
    )?;
    Ok(output)
}
