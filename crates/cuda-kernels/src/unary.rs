//! Functions of one element.

use crate::movement::{copy, suffix};
use crate::number::{blocks, grid};
use crate::pack::internal;
use crate::walk::Walk;
use crate::{DeviceView, Gpu};
use cuda::{Argument, CudaError};

/// What kernels number [`clamp`]; below are the operations of [`crate::binary`], above activations.
const CLAMP: i32 = 6;

/// An activation function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activation {
    /// x.
    None,
    /// x · sigmoid(x).
    Silu,
    /// x · Φ(x), with Φ the distribution function of the standard normal (by erf, not tanh).
    Gelu,
    /// x · (1 + tanh(√(2/π) · (x + 0.044715 x³))) / 2.
    GeluTanh,
    /// x · sigmoid(1.702 x).
    QuickGelu,
}

/// output = activation(input) for floats, computed in `f32` and rounded once. Both may be the same
/// memory.
///
/// # Errors
///
/// What the device refuses.
pub fn activation(
    gpu: &Gpu,
    kind: Activation,
    input: &DeviceView,
    output: &DeviceView,
) -> Result<(), CudaError> {
    if !output.dtype.is_float() {
        return Err(internal(format!("activation of {}", output.dtype.name())));
    }
    match kind {
        Activation::None if input.pointer() == output.pointer() => Ok(()),
        Activation::None => copy(gpu, input, output),
        kind => map(gpu, CLAMP + kind as i32, [0.0; 2], input, output),
    }
}

/// output = input held between `low` and `high`; NaN stays. Bounds of floats are rounded to `f32`
/// and the result to the element type; those of integers lose their fraction.
///
/// # Errors
///
/// What the device refuses.
pub fn clamp(
    gpu: &Gpu,
    input: &DeviceView,
    low: f64,
    high: f64,
    output: &DeviceView,
) -> Result<(), CudaError> {
    map(gpu, CLAMP, [low, high], input, output)
}

/// A function of one element with two numbers.
pub(crate) fn map(
    gpu: &Gpu,
    operation: i32,
    numbers: [f64; 2],
    input: &DeviceView,
    output: &DeviceView,
) -> Result<(), CudaError> {
    if input.dtype != output.dtype {
        let (from, to) = (input.dtype.name(), output.dtype.name());
        return Err(internal(format!("function of {from} to {to}")));
    }
    let count = output.count();
    if count == 0 {
        return Ok(());
    }
    let dtype = suffix(output.dtype);
    let [first, second] = numbers.map(|number| match output.dtype.is_float() {
        true => Argument::F32(number as f32),
        false => Argument::I64(number as i64),
    });
    let operation = Argument::I32(operation);
    let aligned = input.layout.is_contiguous() && input.is_aligned() && output.is_aligned();
    if output.dtype.is_float() && aligned {
        let kernel = format!("unary_flat_{dtype}");
        let blocks = blocks(gpu, &kernel, "BLOCK", count);
        let arguments = [
            Argument::Pointer(input.pointer()),
            Argument::Pointer(output.pointer()),
            operation,
            first,
            second,
            Argument::I64(count as i64),
        ];
        return gpu.launch(&kernel, grid("unary", blocks)?, &arguments);
    }
    let walk = Walk::new(output.shape(), [input.strides(), output.strides()]);
    walk.launch(gpu, &format!("unary_{dtype}"), 1, |piece| {
        vec![piece.pointer(0, input), piece.pointer(1, output), operation, first, second]
    })
}

#[cfg(test)]
#[path = "unary_tests.rs"]
mod tests;
