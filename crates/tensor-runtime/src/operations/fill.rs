//! Tensors of one value.

use super::check;
use crate::device::Device;
use crate::error::RuntimeError;
use crate::stream::Stream;
use crate::tensor::Tensor;
use cpu_kernels::{DType, movement};

/// A tensor of `shape` whose elements are all `value`, rounded to nearest even.
///
/// Refuses a value that an integer `dtype` doesn't hold.
pub fn fill(
    stream: &Stream,
    dtype: DType,
    shape: &[usize],
    value: f64,
) -> Result<Tensor, RuntimeError> {
    fill_on(stream, Device::Cpu, dtype, shape, value)
}

/// [`fill`] on a device, which is opened first unless it is open.
///
/// Refuses what [`fill`] refuses, and a device that isn't there.
pub fn fill_on(
    stream: &Stream,
    device: Device,
    dtype: DType,
    shape: &[usize],
    value: f64,
) -> Result<Tensor, RuntimeError> {
    check::is_representable("fill", "value", dtype, value)?;
    stream.open_for("fill", device)?;
    let output = (dtype, shape.to_vec());
    let [output] = stream.submit_to(
        device,
        "fill",
        vec![],
        [output],
        move |cpu, _, outputs| {
            movement::fill(cpu, &outputs[0], value);
            Ok(())
        },
        move |gpu, _, outputs| Ok(cuda_kernels::movement::fill(gpu, &outputs[0], value)?),
    )?;
    Ok(output)
}
