//! 8-bit codes of a sorted table, in blocks with a scale each (Dettmers et al. 2021): what double
//! quantization keeps the scales of 4-bit blocks in.

use crate::number::{blocks, grid, number};
use crate::{DeviceView, Gpu};
use cuda::{Argument, CudaError};

/// Entries of a table.
pub const TABLE: usize = 256;

/// Codes of a contiguous `Float32` input of N elements in blocks of `block_size`: `codes`
/// (`UInt8`, N) and `absmax` (`Float32`, ⌈N / block size⌉). `table` (`Float32`, 256) ascends from
/// about -1 to 1. The bytes are those of `cpu_kernels::quantization::blockwise::quantize`.
///
/// # Errors
///
/// What the device refuses, and `Unsupported` for 2³¹ blocks, or elements of a block, and more.
pub fn quantize(
    gpu: &Gpu,
    input: &DeviceView,
    table: &DeviceView,
    block_size: usize,
    codes: &DeviceView,
    absmax: &DeviceView,
) -> Result<(), CudaError> {
    const NAME: &str = "blockwise_quantize";
    let arguments = [
        Argument::Pointer(input.pointer()),
        Argument::Pointer(table.pointer()),
        Argument::Pointer(codes.pointer()),
        Argument::Pointer(absmax.pointer()),
        Argument::I64(input.count() as i64),
        // A block is no longer than the input.
        number(NAME, block_size.min(input.count()))?,
    ];
    gpu.launch(NAME, grid(NAME, absmax.count())?, &arguments)
}

/// table\[code\] · absmax of the code's block, `Float32`; all contiguous, as [`quantize`] makes
/// them.
///
/// # Errors
///
/// What the device refuses, and `Unsupported` for 2⁴¹ elements and more.
pub fn dequantize(
    gpu: &Gpu,
    codes: &DeviceView,
    absmax: &DeviceView,
    table: &DeviceView,
    block_size: usize,
    output: &DeviceView,
) -> Result<(), CudaError> {
    const NAME: &str = "blockwise_dequantize";
    let arguments = [
        Argument::Pointer(codes.pointer()),
        Argument::Pointer(absmax.pointer()),
        Argument::Pointer(table.pointer()),
        Argument::Pointer(output.pointer()),
        Argument::I64(output.count() as i64),
        number(NAME, block_size.min(output.count()))?,
    ];
    let programs = blocks(gpu, NAME, "BLOCK", output.count());
    gpu.launch(NAME, grid(NAME, programs)?, &arguments)
}

#[cfg(test)]
#[path = "blockwise_tests.rs"]
mod tests;
