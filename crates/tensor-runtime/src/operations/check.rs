//! Checks that several operations share. Each refusal names the operation, the argument, what it
//! takes and what it got.

use crate::error::RuntimeError;
use crate::tensor::{Tensor, broadcast_strides};
use cpu_kernels::DType;

/// Refuses an integer tensor.
pub(super) fn is_float(
    operation: &'static str,
    argument: &str,
    tensor: &Tensor,
) -> Result<(), RuntimeError> {
    if tensor.dtype().is_float() {
        return Ok(());
    }
    let expected = "float32, bfloat16 or float16";
    Err(RuntimeError::dtype(operation, argument, expected, tensor.dtype()))
}

/// Refuses a tensor of another element type.
pub(super) fn has_dtype(
    operation: &'static str,
    argument: &str,
    tensor: &Tensor,
    expected: DType,
) -> Result<(), RuntimeError> {
    if tensor.dtype() == expected {
        return Ok(());
    }
    Err(RuntimeError::dtype(operation, argument, expected.name(), tensor.dtype()))
}

/// Refuses a tensor of another element type than `other`, the argument named `as_in`.
pub(super) fn has_dtype_of(
    operation: &'static str,
    argument: &str,
    tensor: &Tensor,
    as_in: &str,
    other: &Tensor,
) -> Result<(), RuntimeError> {
    if tensor.dtype() == other.dtype() {
        return Ok(());
    }
    let expected = format!("{}, as {as_in} is", other.dtype().name());
    Err(RuntimeError::dtype(operation, argument, expected, tensor.dtype()))
}

/// Refuses a parameter that isn't (C), or whose element type is neither the input's nor float32.
pub(super) fn is_parameter(
    operation: &'static str,
    argument: &str,
    tensor: &Tensor,
    input: &Tensor,
    channels: usize,
) -> Result<(), RuntimeError> {
    has_shape(operation, argument, tensor, &[channels], "the last dimension of input")?;
    if tensor.dtype() == DType::Float32 || input.dtype() == DType::Float32 {
        return has_dtype(operation, argument, tensor, DType::Float32);
    }
    if tensor.dtype() == input.dtype() {
        return Ok(());
    }
    let expected = format!("{}, as input is, or float32", input.dtype().name());
    Err(RuntimeError::dtype(operation, argument, expected, tensor.dtype()))
}

/// The size of the last dimension of a float tensor; refuses integers and rank 0.
pub(super) fn channels(operation: &'static str, input: &Tensor) -> Result<usize, RuntimeError> {
    is_float(operation, "input", input)?;
    input
        .shape()
        .last()
        .copied()
        .ok_or_else(|| RuntimeError::shape(operation, "input", "(…, C)", input.shape()))
}

/// Refuses a tensor of another shape; `reason` says where the expected one comes from.
pub(super) fn has_shape(
    operation: &'static str,
    argument: &str,
    tensor: &Tensor,
    expected: &[usize],
    reason: &str,
) -> Result<(), RuntimeError> {
    if tensor.shape() == expected {
        return Ok(());
    }
    let expected = format!("{expected:?}, {reason}");
    Err(RuntimeError::shape(operation, argument, expected, tensor.shape()))
}

/// Refuses a tensor of another rank; `axes` names the dimensions.
pub(super) fn has_rank(
    operation: &'static str,
    argument: &str,
    tensor: &Tensor,
    axes: &str,
    rank: usize,
) -> Result<(), RuntimeError> {
    if tensor.shape().len() == rank {
        return Ok(());
    }
    Err(RuntimeError::shape(operation, argument, axes, tensor.shape()))
}

/// Refuses a tensor that can't be repeated to `shape`, the shape of the argument `of`.
pub(super) fn broadcasts_to(
    operation: &'static str,
    argument: &str,
    tensor: &Tensor,
    of: &str,
    shape: &[usize],
) -> Result<(), RuntimeError> {
    if broadcast_strides(tensor.layout(), shape).is_some() {
        return Ok(());
    }
    let expected = format!("one that repeats to {shape:?}, the shape of {of}");
    Err(RuntimeError::shape(operation, argument, expected, tensor.shape()))
}

/// Refuses a number that an integer type doesn't hold exactly; floats take any.
pub(super) fn is_representable(
    operation: &'static str,
    argument: &str,
    dtype: DType,
    value: f64,
) -> Result<(), RuntimeError> {
    let (low, high) = match dtype {
        DType::Float32 | DType::BFloat16 | DType::Float16 => return Ok(()),
        DType::Int32 => (f64::from(i32::MIN), f64::from(i32::MAX)),
        // The greatest double below 2⁶³.
        DType::Int64 => (i64::MIN as f64, (i64::MAX as f64).next_down()),
        DType::Int8 => (-128.0, 127.0),
        DType::UInt8 => (0.0, 255.0),
    };
    if value.fract() == 0.0 && (low..=high).contains(&value) {
        return Ok(());
    }
    let expected = format!("a whole number from {low} to {high}, as {} holds", dtype.name());
    Err(RuntimeError::argument(operation, argument, expected, value))
}

/// Refuses an epsilon that isn't a finite number of at least 0.
pub(super) fn is_epsilon(operation: &'static str, epsilon: f64) -> Result<(), RuntimeError> {
    if epsilon.is_finite() && epsilon >= 0.0 {
        return Ok(());
    }
    Err(RuntimeError::argument(operation, "epsilon", "a finite number of at least 0", epsilon))
}
