//! Tensors of one value.

use super::check;
use crate::error::RuntimeError;
use crate::stream::Stream;
use crate::tensor::Tensor;
use cpu_kernels::{DType, movement};

/// A tensor of `shape` whose elements are all `value`, rounded to nearest even.
///
/// Refuses a value that an integer `dtype` doesn't hold.
pub fn fill(
    stream: &Stream,
    dtype: DType,
    shape: &[usize],
    value: f64,
) -> Result<Tensor, RuntimeError> {
    check::is_representable("fill", "value", dtype, value)?;
    let output = (dtype, shape.to_vec());
    let [output] = stream.submit("fill", vec![], [output], move |cpu, _, outputs| {
        movement::fill(cpu, &outputs[0], value);
        Ok(())
    })?;
    Ok(output)
}
