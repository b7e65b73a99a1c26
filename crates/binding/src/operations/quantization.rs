//! Weights in few bits, and the mean that goes with them.

use super::*;

/// Packed 4-bit codes and the scales of their blocks.
#[napi(js_name = "quantizeNf4", catch_unwind)]
pub fn quantize_nf4(input: &NativeTensor, block_size: f64) -> Result<Vec<NativeTensor>> {
    let block_size = to_size("quantizeNf4", "blockSize", block_size)?;
    handles(operations::quantize_nf4(cpu(), input.get()?, block_size))
}

/// Floats from packed 4-bit codes.
#[napi(js_name = "dequantizeNf4", catch_unwind)]
pub fn dequantize_nf4(
    packed: &NativeTensor,
    absmax: &NativeTensor,
    shape: Vec<f64>,
    block_size: f64,
    dtype: String,
) -> Result<NativeTensor> {
    const NAME: &str = "dequantizeNf4";
    let shape = to_sizes(NAME, "shape", &shape)?;
    let block_size = to_size(NAME, "blockSize", block_size)?;
    let dtype = to_dtype(NAME, &dtype)?;
    let (packed, absmax) = (packed.get()?, absmax.get()?);
    handle(operations::dequantize_nf4(cpu(), packed, absmax, &shape, block_size, dtype))
}

/// 8-bit codes of a table and the scales of their blocks.
#[napi(catch_unwind)]
pub fn quantize_blockwise(
    input: &NativeTensor,
    table: &NativeTensor,
    block_size: f64,
) -> Result<Vec<NativeTensor>> {
    let block_size = to_size("quantizeBlockwise", "blockSize", block_size)?;
    handles(operations::quantize_blockwise(cpu(), input.get()?, table.get()?, block_size))
}

/// Floats from 8-bit codes of a table.
#[napi(catch_unwind)]
pub fn dequantize_blockwise(
    codes: &NativeTensor,
    absmax: &NativeTensor,
    table: &NativeTensor,
    block_size: f64,
) -> Result<NativeTensor> {
    let block_size = to_size("dequantizeBlockwise", "blockSize", block_size)?;
    let (codes, absmax, table) = (codes.get()?, absmax.get()?, table.get()?);
    handle(operations::dequantize_blockwise(cpu(), codes, absmax, table, block_size))
}

/// 8-bit integers and the scales of their rows.
#[napi(js_name = "quantizeInt8", catch_unwind)]
pub fn quantize_int8(input: &NativeTensor) -> Result<Vec<NativeTensor>> {
    handles(operations::quantize_int8(cpu(), input.get()?))
}

/// Floats from 8-bit integers.
#[napi(js_name = "dequantizeInt8", catch_unwind)]
pub fn dequantize_int8(
    codes: &NativeTensor,
    absmax: &NativeTensor,
    dtype: String,
) -> Result<NativeTensor> {
    let dtype = to_dtype("dequantizeInt8", &dtype)?;
    handle(operations::dequantize_int8(cpu(), codes.get()?, absmax.get()?, dtype))
}

/// The mean of all elements.
#[napi(catch_unwind)]
pub fn mean(input: &NativeTensor) -> Result<NativeTensor> {
    handle(operations::mean(cpu(), input.get()?))
}
