//! Operations that move values.

use super::*;

/// A contiguous copy, cast to `dtype`.
#[napi(catch_unwind)]
pub fn copy(input: &NativeTensor, dtype: String) -> Result<NativeTensor> {
    handle(operations::copy(cpu(), input.get()?, to_dtype("to", &dtype)?))
}

/// A tensor of one value.
#[napi(catch_unwind)]
pub fn fill(dtype: String, shape: Vec<f64>, value: f64, device: String) -> Result<NativeTensor> {
    let shape = to_sizes("fill", "shape", &shape)?;
    let device = to_device("fill", &device)?;
    handle(operations::fill_on(cpu(), device, to_dtype("fill", &dtype)?, &shape, value))
}

/// Tensors one after the other along `dim`.
#[napi(catch_unwind)]
pub fn concatenate(tensors: Vec<&NativeTensor>, dim: f64) -> Result<NativeTensor> {
    let dim = to_size("concatenate", "dim", dim)?;
    handle(operations::concatenate(cpu(), &all(tensors)?, dim))
}

/// Zeros before and after, along each dimension.
#[napi(catch_unwind)]
pub fn pad(input: &NativeTensor, padding: Vec<Vec<f64>>) -> Result<NativeTensor> {
    handle(operations::pad(cpu(), input.get()?, &pairs("pad", "padding", &padding)?))
}

/// Rows of a table by index.
#[napi(catch_unwind)]
pub fn embedding(table: &NativeTensor, indices: &NativeTensor) -> Result<NativeTensor> {
    handle(operations::embedding(cpu(), table.get()?, indices.get()?))
}

/// Each pixel repeated `factor` times in height and width.
#[napi(catch_unwind)]
pub fn upsample_nearest(input: &NativeTensor, factor: f64) -> Result<NativeTensor> {
    let factor = to_size("upsampleNearest", "factor", factor)?;
    handle(operations::upsample_nearest(cpu(), input.get()?, factor))
}
