//! The mean of all elements.

use crate::number::{blocks, grid};
use crate::pack::internal;
use crate::{DType, DeviceView, Gpu};
use cuda::{Argument, CudaError};

/// The mean of a contiguous `Float32` input, to one `Float32`; NaN where it has no elements.
///
/// Summed in `f64` and rounded once. The order depends on the number of elements and the device's
/// kernels alone; the CPU's sums in `f32` as torch does, and differs in last bits.
///
/// # Errors
///
/// What the device refuses.
pub fn mean(gpu: &Gpu, input: &DeviceView, output: &DeviceView) -> Result<(), CudaError> {
    if [input.dtype, output.dtype] != [DType::Float32; 2] || output.count() != 1 {
        let types = [input, output].map(|view| view.dtype.name());
        return Err(internal(format!("mean of {types:?}, to {:?}", output.shape())));
    }
    let count = input.count();
    // The second kernel adds the sums of as many blocks as it has places for.
    let most = gpu.constant("mean", "BLOCK") as usize;
    let parts = blocks(gpu, "partial_sums", "BLOCK", count).min(most);
    let sums = gpu.device().allocate(parts * size_of::<f64>())?;
    let [input, output] = [input, output].map(|view| Argument::Pointer(view.pointer()));
    let sums_pointer = Argument::Pointer(sums.address());
    let count = Argument::I64(count as i64);
    gpu.launch("partial_sums", grid("mean", parts)?, &[input, sums_pointer, count])?;
    gpu.launch("mean", [1, 1, 1], &[sums_pointer, output, Argument::I32(parts as i32), count])
}

#[cfg(test)]
#[path = "mean_tests.rs"]
mod tests;
