//! Tensors side by side.

use super::check;
use crate::error::RuntimeError;
use crate::stream::Stream;
use crate::tensor::Tensor;
use cpu_kernels::movement;

/// `tensors` one after the other along dimension `dim`: a copy, but where they are the pieces of one
/// whole tensor in their order, which is then given again.
///
/// Refuses an empty list, a dimension that they haven't got, other element types, and shapes that
/// differ in another dimension.
pub fn concatenate(
    stream: &Stream,
    tensors: &[Tensor],
    dim: usize,
) -> Result<Tensor, RuntimeError> {
    const NAME: &str = "concatenate";
    let Some(first) = tensors.first() else {
        return Err(RuntimeError::argument(NAME, "tensors", "at least one", "none"));
    };
    let mut shape = first.shape().to_vec();
    if dim >= shape.len() {
        let expected = format!("below {}, the dimensions of {shape:?}", shape.len());
        return Err(RuntimeError::argument(NAME, "dim", expected, dim));
    }
    for (index, tensor) in tensors.iter().enumerate().skip(1) {
        let argument = format!("tensors[{index}]");
        check::has_dtype_of(NAME, &argument, tensor, "tensors[0]", first)?;
        let mut rest = tensor.shape().to_vec();
        if let Some(size) = rest.get_mut(dim) {
            *size = first.shape()[dim];
        }
        if rest != first.shape() {
            let expected = format!("{:?}, dimension {dim} apart", first.shape());
            return Err(RuntimeError::shape(NAME, &argument, expected, tensor.shape()));
        }
        shape[dim] = shape[dim].saturating_add(tensor.shape()[dim]);
    }
    if let Some(whole) = Tensor::whole_of(tensors, &shape, dim) {
        return Ok(whole);
    }
    let output = (first.dtype(), shape);
    let [output] = stream.submit(
        NAME,
        tensors.to_vec(),
        [output],
        move |cpu, inputs, outputs| {
            movement::concatenate(cpu, inputs, dim, &outputs[0]);
            Ok(())
        },
        move |gpu, inputs, outputs| {
            Ok(cuda_kernels::movement::concatenate(gpu, inputs, dim, &outputs[0])?)
        },
    )?;
    Ok(output)
}
