//! Copies and casts.

use crate::error::RuntimeError;
use crate::stream::Stream;
use crate::tensor::Tensor;
use cpu_kernels::{DType, movement};

/// A contiguous copy of `input`, cast to `dtype`.
///
/// Floats round to nearest even. A float becomes an integer without its fraction, held within the
/// integer's range, and NaN becomes 0; integers become narrower ones by their low bits.
pub fn copy(stream: &Stream, input: &Tensor, dtype: DType) -> Result<Tensor, RuntimeError> {
    let output = (dtype, input.shape().to_vec());
    let [output] = stream.submit(
        "to",
        vec![input.clone()],
        [output],
        |cpu, inputs, outputs| {
            movement::copy(cpu, &inputs[0], &outputs[0]);
            Ok(())
        },
        |gpu, inputs, outputs| Ok(cuda_kernels::movement::copy(gpu, &inputs[0], &outputs[0])?),
    )?;
    Ok(output)
}

/// The tensor, or a contiguous copy where it isn't contiguous itself.
pub(super) fn contiguous(stream: &Stream, tensor: &Tensor) -> Result<Tensor, RuntimeError> {
    if tensor.is_contiguous() { Ok(tensor.clone()) } else { copy(stream, tensor, tensor.dtype()) }
}

/// The tensor, or a contiguous copy where elements along its last dimension aren't consecutive:
/// kernels read rows whole.
pub(super) fn with_whole_rows(stream: &Stream, tensor: &Tensor) -> Result<Tensor, RuntimeError> {
    match (tensor.shape().last(), tensor.strides().last()) {
        (Some(&size), Some(&stride)) if size > 1 && stride != 1 => {
            copy(stream, tensor, tensor.dtype())
        }
        _ => Ok(tensor.clone()),
    }
}

/// The tensor with rows of `channels` consecutive elements, one repeated where it has rows of one.
pub(super) fn with_rows_of(
    stream: &Stream,
    tensor: &Tensor,
    channels: usize,
) -> Result<Tensor, RuntimeError> {
    if tensor.shape().last() == Some(&channels) {
        return with_whole_rows(stream, tensor);
    }
    let leading = tensor.shape().split_last().map_or(&[][..], |(_, leading)| leading);
    let shape = [leading, &[channels]].concat();
    copy(stream, &tensor.expanded(&shape)?, tensor.dtype())
}

/// The tensor in another shape of as many elements, copied where its strides don't allow a view.
pub(super) fn reshaped(
    stream: &Stream,
    tensor: &Tensor,
    shape: &[usize],
) -> Result<Tensor, RuntimeError> {
    if let Some(view) = tensor.reshaped(shape)? {
        return Ok(view);
    }
    let copied = copy(stream, tensor, tensor.dtype())?;
    Ok(copied.reshaped(shape)?.expect("a contiguous tensor takes any shape"))
}
