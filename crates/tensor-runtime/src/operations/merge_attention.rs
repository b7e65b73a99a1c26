//! Attention over parts of the keys, put together.

use super::{check, copy};
use crate::error::RuntimeError;
use crate::stream::Stream;
use crate::tensor::Tensor;
use cpu_kernels::DType;
use cpu_kernels::merge::{self, AttentionPart};

const NAME: &str = "mergeAttention";

/// Attention over the keys of two parts, from the output (B, S, H, D) and the log-sum-exp, float32
/// (B, S, H), of each: `first` is float32, `second` any float type. Both results are float32.
/// Refuses other shapes and element types.
pub fn merge_attention(
    stream: &Stream,
    first: (&Tensor, &Tensor),
    second: (&Tensor, &Tensor),
) -> Result<(Tensor, Tensor), RuntimeError> {
    let &[batch, tokens, heads, _] = first.0.shape() else {
        return Err(RuntimeError::shape(NAME, "first", "(B, S, H, D)", first.0.shape()));
    };
    check::has_dtype(NAME, "first", first.0, DType::Float32)?;
    check::is_float(NAME, "second", second.0)?;
    check::has_shape(NAME, "second", second.0, first.0.shape(), "the shape of first")?;
    let rows = [batch, tokens, heads];
    for (argument, sums) in [("firstLogSumExp", first.1), ("secondLogSumExp", second.1)] {
        check::has_dtype(NAME, argument, sums, DType::Float32)?;
        check::has_shape(NAME, argument, sums, &rows, "(B, S, H) of first")?;
    }
    let whole = |tensor: &Tensor| match tensor.is_contiguous() {
        true => Ok(tensor.clone()),
        false => copy(stream, tensor, tensor.dtype()),
    };
    let inputs = vec![whole(first.0)?, whole(first.1)?, whole(second.0)?, whole(second.1)?];
    let outputs = [(DType::Float32, first.0.shape().to_vec()), (DType::Float32, rows.to_vec())];
    let [output, log_sum_exp] = stream.submit(NAME, inputs, outputs, |cpu, inputs, outputs| {
        let part = |at: usize| AttentionPart { output: &inputs[at], log_sum_exp: &inputs[at + 1] };
        merge::merge_attention(cpu, part(0), part(2), &outputs[0], &outputs[1]);
        Ok(())
    })?;
    Ok((output, log_sum_exp))
}
