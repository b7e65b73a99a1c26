//! 4-bit normal floats (Dettmers et al. 2023, QLoRA): blocks of consecutive elements, each divided
//! by its largest magnitude and rounded to one of 16 quantiles of a normal distribution.

use crate::number::{blocks, grid, number};
use crate::rows::variant;
use crate::{DeviceView, Gpu};
use cuda::{Argument, CudaError};

/// Bytes of the smallest block, of 16 elements.
const GROUP: usize = 8;

/// Packed bytes of `count` elements: two codes each, the last one filled up.
pub fn packed_bytes(count: usize) -> usize {
    count.div_ceil(2)
}

/// Codes of a contiguous float `input` of N elements in blocks of `block_size` (even):
/// `packed` (`UInt8`, ⌈N / 2⌉) has element 2i in the high half of byte i, `absmax` (`Float32`,
/// ⌈N / block size⌉) the greatest magnitude of each block. NaN makes its block's scale NaN. The bytes
/// are those of `cpu_kernels::quantization::nf4::quantize`.
///
/// # Errors
///
/// What the device refuses, and `Unsupported` for 2³⁵ blocks and more.
pub fn quantize(
    gpu: &Gpu,
    input: &DeviceView,
    block_size: usize,
    packed: &DeviceView,
    absmax: &DeviceView,
) -> Result<(), CudaError> {
    const NAME: &str = "nf4_quantize";
    let kernel = variant(NAME, input.dtype, false);
    let arguments = [
        Argument::Pointer(input.pointer()),
        Argument::Pointer(packed.pointer()),
        Argument::Pointer(absmax.pointer()),
        Argument::I64(input.count() as i64),
        number(NAME, block_size)?,
    ];
    let programs = blocks(gpu, &kernel, "BLOCKS", absmax.count());
    gpu.launch(&kernel, grid(NAME, programs)?, &arguments)
}

/// Elements from codes: code value · absmax in `f32`, rounded once to the output's float type. The
/// output has N elements; `packed` and `absmax` are contiguous and as [`quantize`] makes them, for
/// blocks of a power of two of at least 16 elements.
///
/// # Errors
///
/// What the device refuses, and `Unsupported` for 2⁴¹ elements and more.
pub fn dequantize(
    gpu: &Gpu,
    packed: &DeviceView,
    absmax: &DeviceView,
    block_size: usize,
    output: &DeviceView,
) -> Result<(), CudaError> {
    const NAME: &str = "nf4_dequantize";
    assert!(block_size.is_power_of_two() && block_size >= 2 * GROUP);
    let (count, bytes) = (output.count(), packed_bytes(output.count()));
    let aligned = count.is_multiple_of(32)
        && [packed, absmax, output].into_iter().all(DeviceView::is_aligned);
    let kernel = variant(NAME, output.dtype, aligned);
    let arguments = [
        Argument::Pointer(packed.pointer()),
        Argument::Pointer(absmax.pointer()),
        Argument::Pointer(output.pointer()),
        Argument::I64(count as i64),
        Argument::I64(bytes as i64),
        Argument::I32(block_size.ilog2() as i32),
    ];
    let programs = blocks(gpu, &kernel, "GROUPS", bytes.div_ceil(GROUP));
    gpu.launch(&kernel, grid(NAME, programs)?, &arguments)
}

#[cfg(test)]
#[path = "nf4_tests.rs"]
mod tests;
