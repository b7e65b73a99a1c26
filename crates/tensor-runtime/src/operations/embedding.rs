//! Rows of a table by index.

use super::check;
use super::copy::{contiguous, with_whole_rows};
use crate::error::RuntimeError;
use crate::stream::Stream;
use crate::tensor::Tensor;
use cpu_kernels::{DType, embedding};

/// table\[indices\[…\], :\] for a table (V, C) of any element type and int32 or int64 indices of any
/// shape: the result has that shape and C.
///
/// Indices are known only when the operation runs: one outside 0..V fails it then, with
/// [`crate::ErrorCode::Argument`].
pub fn embedding(
    stream: &Stream,
    table: &Tensor,
    indices: &Tensor,
) -> Result<Tensor, RuntimeError> {
    const NAME: &str = "embedding";
    check::has_rank(NAME, "table", table, "(V, C)", 2)?;
    if !matches!(indices.dtype(), DType::Int32 | DType::Int64) {
        return Err(RuntimeError::dtype(NAME, "indices", "int32 or int64", indices.dtype()));
    }
    let mut shape = indices.shape().to_vec();
    shape.push(table.shape()[1]);
    let inputs = vec![with_whole_rows(stream, table)?, contiguous(stream, indices)?];
    let output = (table.dtype(), shape);
    let [output] = stream.submit(NAME, inputs, [output], |cpu, inputs, outputs| {
        embedding::embedding(cpu, &inputs[0], &inputs[1], &outputs[0]).map_err(|refused| {
            let expected = format!("below {}, the rows of table", refused.rows);
            RuntimeError::argument(NAME, "indices", expected, refused.index)
        })
    })?;
    Ok(output)
}
