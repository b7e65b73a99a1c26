//! 8-bit integers with a scale for each row: how LLM.int8() (Dettmers et al. 2022) keeps weights.

use crate::number::{blocks, grid, number};
use crate::rows::variant;
use crate::{DeviceView, Gpu};
use cuda::{Argument, CudaError};

/// Codes of the rows of a contiguous float `input` (N, K): `codes` (`Int8`, (N, K)) and `absmax`
/// (`Float32`, (N)), the greatest magnitude of each row. NaN makes its row's scale NaN. The bytes are
/// those of `cpu_kernels::quantization::int8::quantize`.
///
/// # Errors
///
/// What the device refuses, and `Unsupported` for 2³¹ rows or columns and more.
pub fn quantize(
    gpu: &Gpu,
    input: &DeviceView,
    codes: &DeviceView,
    absmax: &DeviceView,
) -> Result<(), CudaError> {
    const NAME: &str = "int8_quantize";
    let [rows, columns] = rows_and_columns(input);
    let arguments = [
        Argument::Pointer(input.pointer()),
        Argument::Pointer(codes.pointer()),
        Argument::Pointer(absmax.pointer()),
        number(NAME, columns)?,
    ];
    gpu.launch(&variant(NAME, input.dtype, false), grid(NAME, rows)?, &arguments)
}

/// code · absmax · (1 / 127), each product in `f32`, rounded once to the output's float type.
/// `codes` (`Int8`, (N, K)) and `absmax` (`Float32`, (N)) are contiguous.
///
/// # Errors
///
/// What the device refuses, and `Unsupported` for 2³¹ rows and more.
pub fn dequantize(
    gpu: &Gpu,
    codes: &DeviceView,
    absmax: &DeviceView,
    output: &DeviceView,
) -> Result<(), CudaError> {
    const NAME: &str = "int8_dequantize";
    let [rows, columns] = rows_and_columns(output);
    let aligned = columns.is_multiple_of(16) && codes.is_aligned() && output.is_aligned();
    let kernel = variant(NAME, output.dtype, aligned);
    let arguments = [
        Argument::Pointer(codes.pointer()),
        Argument::Pointer(absmax.pointer()),
        Argument::Pointer(output.pointer()),
        number(NAME, columns)?,
    ];
    let [rows, ..] = grid(NAME, rows)?;
    let [column_blocks, ..] = grid(NAME, blocks(gpu, &kernel, "BLOCK", columns))?;
    gpu.launch(&kernel, [rows, column_blocks, 1], &arguments)
}

fn rows_and_columns(view: &DeviceView) -> [usize; 2] {
    let &[rows, columns] = view.shape() else {
        panic!("int8: a tensor has shape {:?}, expected (N, K)", view.shape());
    };
    [rows, columns]
}

#[cfg(test)]
#[path = "int8_tests.rs"]
mod tests;
