//! Arithmetic on pairs of elements.

use crate::movement::suffix;
use crate::number::{blocks, grid};
use crate::pack::internal;
use crate::unary;
use crate::walk::{Walk, broadcast};
use crate::{DeviceView, Gpu};
use cuda::{Argument, CudaError};

/// What [`binary`] and [`binary_scalar`] compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BinaryOperation {
    /// left + right.
    Add,
    /// left - right.
    Subtract,
    /// left · right.
    Multiply,
    /// left / right, of floats alone.
    Divide,
    /// The larger of the two; NaN where either is.
    Maximum,
    /// The smaller of the two; NaN where either is.
    Minimum,
}

impl BinaryOperation {
    /// Every operation, in declaration order.
    pub const ALL: [BinaryOperation; 6] = [
        BinaryOperation::Add,
        BinaryOperation::Subtract,
        BinaryOperation::Multiply,
        BinaryOperation::Divide,
        BinaryOperation::Maximum,
        BinaryOperation::Minimum,
    ];
}

/// output = left ∘ right, both of the output's element type and repeated to its shape by the rules
/// of broadcasting. 16-bit floats are computed in `f32` and rounded once; integers wrap around.
///
/// # Errors
///
/// What the device refuses.
///
/// # Panics
/// For the division of integers.
pub fn binary(
    gpu: &Gpu,
    operation: BinaryOperation,
    left: &DeviceView,
    right: &DeviceView,
    output: &DeviceView,
) -> Result<(), CudaError> {
    assert!(operation != BinaryOperation::Divide || output.dtype.is_float());
    if [left.dtype, right.dtype] != [output.dtype; 2] {
        let types = [left, right, output].map(|view| view.dtype.name());
        return Err(internal(format!("arithmetic on {types:?}")));
    }
    let count = output.count();
    if count == 0 {
        return Ok(());
    }
    let (shape, dtype) = (output.shape(), suffix(output.dtype));
    let operation = Argument::I32(operation as i32);
    let flat = |view: &DeviceView| {
        view.shape() == shape && view.layout.is_contiguous() && view.is_aligned()
    };
    if output.dtype.is_float() && [left, right, output].into_iter().all(flat) {
        let kernel = format!("binary_flat_{dtype}");
        let blocks = blocks(gpu, &kernel, "BLOCK", count);
        let arguments = [
            Argument::Pointer(left.pointer()),
            Argument::Pointer(right.pointer()),
            Argument::Pointer(output.pointer()),
            operation,
            Argument::I64(count as i64),
        ];
        return gpu.launch(&kernel, grid("binary", blocks)?, &arguments);
    }
    let operands = [&broadcast(left, shape)[..], &broadcast(right, shape), output.strides()];
    Walk::new(shape, operands).launch(gpu, &format!("binary_{dtype}"), 2, |piece| {
        let [left, right, output] = [(0, left), (1, right), (2, output)]
            .map(|(operand, view)| piece.pointer(operand, view));
        vec![left, right, output, operation]
    })
}

/// output = left ∘ right for one number, which floats round to `f32` and integers take without its
/// fraction; otherwise as [`binary`].
///
/// # Errors
///
/// What the device refuses.
///
/// # Panics
/// For the division of integers.
pub fn binary_scalar(
    gpu: &Gpu,
    operation: BinaryOperation,
    left: &DeviceView,
    right: f64,
    output: &DeviceView,
) -> Result<(), CudaError> {
    assert!(operation != BinaryOperation::Divide || output.dtype.is_float());
    unary::map(gpu, operation as i32, [right, 0.0], left, output)
}

#[cfg(test)]
#[path = "binary_tests.rs"]
mod tests;
