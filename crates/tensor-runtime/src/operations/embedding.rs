//! Rows of a table by index.

use super::check;
use super::copy::{contiguous, with_whole_rows};
use crate::error::RuntimeError;
use crate::stream::{GpuFailure, Stream};
use crate::tensor::Tensor;
use cpu_kernels::{DType, embedding};
use cuda_kernels::embedding::{self as gpu_embedding, EmbeddingError};

const NAME: &str = "embedding";

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
    check::has_rank(NAME, "table", table, "(V, C)", 2)?;
    if !matches!(indices.dtype(), DType::Int32 | DType::Int64) {
        return Err(RuntimeError::dtype(NAME, "indices", "int32 or int64", indices.dtype()));
    }
    let mut shape = indices.shape().to_vec();
    shape.push(table.shape()[1]);
    let inputs = vec![with_whole_rows(stream, table)?, contiguous(stream, indices)?];
    let output = (table.dtype(), shape);
    let [output] = stream.submit(
        NAME,
        inputs,
        [output],
        |cpu, inputs, outputs| {
            embedding::embedding(cpu, &inputs[0], &inputs[1], &outputs[0])
                .map_err(|refused| out_of_range(refused.index, refused.rows))
        },
        |gpu, inputs, outputs| {
            gpu_embedding::embedding(gpu, &inputs[0], &inputs[1], &outputs[0]).map_err(|error| {
                match error {
                    EmbeddingError::Index(refused) => {
                        GpuFailure::Refused(out_of_range(refused.index, refused.rows))
                    }
                    EmbeddingError::Cuda(error) => GpuFailure::Cuda(error),
                }
            })
        },
    )?;
    Ok(output)
}

fn out_of_range(index: i64, rows: usize) -> RuntimeError {
    let expected = format!("below {rows}, the rows of table");
    RuntimeError::argument(NAME, "indices", expected, index)
}
