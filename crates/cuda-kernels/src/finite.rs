//! Whether values are finite.

use crate::movement::{fill, suffix};
use crate::pack::internal;
use crate::walk::Walk;
use crate::{DType, DeviceView, Gpu};
use cuda::CudaError;

/// Writes to one `UInt8` whether no element is infinite or NaN; integers never are.
///
/// # Errors
///
/// What the device refuses.
pub fn all_finite(gpu: &Gpu, input: &DeviceView, output: &DeviceView) -> Result<(), CudaError> {
    if output.dtype != DType::UInt8 || output.count() != 1 {
        let (dtype, shape) = (output.dtype.name(), output.shape());
        return Err(internal(format!("all finite to {dtype} {shape:?}")));
    }
    fill(gpu, output, 1.0)?;
    if !input.dtype.is_float() {
        return Ok(());
    }
    let kernel = format!("all_finite_{}", suffix(input.dtype));
    Walk::new(input.shape(), [input.strides()]).launch(gpu, &kernel, 1, |piece| {
        vec![piece.pointer(0, input), cuda::Argument::Pointer(output.pointer())]
    })
}

#[cfg(test)]
#[path = "finite_tests.rs"]
mod tests;
