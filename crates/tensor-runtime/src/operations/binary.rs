//! Arithmetic on two tensors, or on a tensor and a number.

use super::{check, gpu_types::binary_on_gpu};
use crate::error::RuntimeError;
use crate::stream::Stream;
use crate::tensor::{Tensor, broadcast_shape};
use cpu_kernels::binary;
pub use cpu_kernels::binary::BinaryOperation;

/// left ∘ right, element by element, with broadcasting.
///
/// Both have one element type, which the result has too. 16-bit floats are computed in float32 and
/// rounded once; integers wrap around. Refuses other element types or shapes that don't broadcast,
/// and the division of integers.
pub fn binary(
    stream: &Stream,
    operation: BinaryOperation,
    left: &Tensor,
    right: &Tensor,
) -> Result<Tensor, RuntimeError> {
    let name = name(operation);
    check_division(operation, left)?;
    check::has_dtype_of(name, "right", right, "left", left)?;
    let shape = broadcast_shape(left.shape(), right.shape()).ok_or_else(|| {
        let expected = format!("one that broadcasts with left's {:?}", left.shape());
        RuntimeError::shape(name, "right", expected, right.shape())
    })?;
    let inputs = vec![left.clone(), right.clone()];
    let output = (left.dtype(), shape);
    let [output] = stream.submit(
        name,
        inputs,
        [output],
        move |cpu, inputs, outputs| {
            binary::binary(cpu, operation, &inputs[0], &inputs[1], &outputs[0]);
            Ok(())
        },
        move |gpu, inputs, outputs| {
            let (kind, output) = (binary_on_gpu(operation), &outputs[0]);
            Ok(cuda_kernels::binary::binary(gpu, kind, &inputs[0], &inputs[1], output)?)
        },
    )?;
    Ok(output)
}

/// left ∘ right for a number: floats round it to float32 first, as torch does. The result has the
/// element type of `left`.
///
/// Refuses a number that an integer tensor's type doesn't hold, and the division of integers.
pub fn binary_scalar(
    stream: &Stream,
    operation: BinaryOperation,
    left: &Tensor,
    right: f64,
) -> Result<Tensor, RuntimeError> {
    let name = name(operation);
    check_division(operation, left)?;
    check::is_representable(name, "right", left.dtype(), right)?;
    let output = (left.dtype(), left.shape().to_vec());
    let [output] = stream.submit(
        name,
        vec![left.clone()],
        [output],
        move |cpu, inputs, outputs| {
            binary::binary_scalar(cpu, operation, &inputs[0], right, &outputs[0]);
            Ok(())
        },
        move |gpu, inputs, outputs| {
            let (kind, output) = (binary_on_gpu(operation), &outputs[0]);
            Ok(cuda_kernels::binary::binary_scalar(gpu, kind, &inputs[0], right, output)?)
        },
    )?;
    Ok(output)
}

fn check_division(operation: BinaryOperation, left: &Tensor) -> Result<(), RuntimeError> {
    if operation == BinaryOperation::Divide && !left.dtype().is_float() {
        let expected = "float32, bfloat16 or float16 (cast integers first)";
        return Err(RuntimeError::dtype("divide", "left", expected, left.dtype()));
    }
    Ok(())
}

fn name(operation: BinaryOperation) -> &'static str {
    match operation {
        BinaryOperation::Add => "add",
        BinaryOperation::Subtract => "subtract",
        BinaryOperation::Multiply => "multiply",
        BinaryOperation::Divide => "divide",
        BinaryOperation::Maximum => "maximum",
        BinaryOperation::Minimum => "minimum",
    }
}
