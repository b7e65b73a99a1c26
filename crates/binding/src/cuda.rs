//! CUDA devices: opening, and what there is.

use crate::error::{self, from_runtime};
use crate::stream::cpu;
use crate::tensor::to_device;
use napi::bindgen_prelude::*;
use napi_derive::napi;
use tensor_runtime::Device;

/// A CUDA device.
#[napi(object, object_from_js = false)]
pub struct NativeCudaDevice {
    /// As the driver calls it.
    pub name: String,
    /// Such as `9.0`.
    pub compute_capability: String,
    /// How many blocks of threads run at once, at least.
    pub multiprocessors: f64,
    /// Of its memory.
    pub total_bytes: f64,
    /// What is left of it.
    pub free_bytes: f64,
    /// The code that its kernels run.
    pub kernels: String,
}

/// Opens a device, unless it is open.
#[napi(catch_unwind)]
pub fn open_device(device: String) -> Result<NativeCudaDevice> {
    const NAME: &str = "openDevice";
    let Device::Cuda(index) = to_device(NAME, &device)? else {
        return Err(error::argument(NAME, "device", "cuda:N", device));
    };
    let found = cpu().open_cuda(NAME, index).map_err(from_runtime)?;
    Ok(NativeCudaDevice {
        name: found.name,
        compute_capability: format!(
            "{}.{}",
            found.compute_capability.0, found.compute_capability.1
        ),
        multiprocessors: f64::from(found.multiprocessors),
        total_bytes: found.total_bytes as f64,
        free_bytes: found.free_bytes as f64,
        kernels: found.kernels,
    })
}

/// Lets go of a device.
#[napi(catch_unwind)]
pub fn close_device(device: String) -> Result<()> {
    const NAME: &str = "closeDevice";
    match to_device(NAME, &device)? {
        Device::Cuda(index) => cpu().close_cuda(NAME, index).map_err(from_runtime),
        Device::Cpu => Err(error::argument(NAME, "device", "cuda:N", device)),
    }
}

/// How many CUDA devices there are; 0 where there is no driver, or it can't be used.
#[napi(catch_unwind)]
pub fn count_cuda_devices() -> u32 {
    cpu().count_cuda_devices() as u32
}
