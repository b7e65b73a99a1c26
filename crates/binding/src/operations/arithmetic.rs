//! Elementwise operations.

use super::*;

/// An elementwise operation on two tensors that broadcast.
#[napi(catch_unwind)]
pub fn binary(
    operation: String,
    left: &NativeTensor,
    right: &NativeTensor,
) -> Result<NativeTensor> {
    handle(operations::binary(cpu(), to_binary(&operation)?, left.get()?, right.get()?))
}

/// An elementwise operation on a tensor and a number.
#[napi(catch_unwind)]
pub fn binary_scalar(operation: String, left: &NativeTensor, right: f64) -> Result<NativeTensor> {
    handle(operations::binary_scalar(cpu(), to_binary(&operation)?, left.get()?, right))
}

/// An activation function.
#[napi(catch_unwind)]
pub fn activation(kind: String, input: &NativeTensor) -> Result<NativeTensor> {
    handle(operations::activation(cpu(), to_activation("activation", &kind)?, input.get()?))
}

/// Values held between `low` and `high`.
#[napi(catch_unwind)]
pub fn clamp(input: &NativeTensor, low: f64, high: f64) -> Result<NativeTensor> {
    handle(operations::clamp(cpu(), input.get()?, low, high))
}

/// The sum of tensors times coefficients.
#[napi(catch_unwind)]
pub fn weighted_sum(tensors: Vec<&NativeTensor>, coefficients: Vec<f64>) -> Result<NativeTensor> {
    handle(operations::weighted_sum(cpu(), &all(tensors)?, &coefficients))
}

/// One byte: 1 where every value is finite.
#[napi(catch_unwind)]
pub fn all_finite(input: &NativeTensor) -> Result<NativeTensor> {
    handle(operations::all_finite(cpu(), input.get()?))
}
