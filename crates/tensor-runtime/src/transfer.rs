//! Tensors copied between this machine and its devices.

use crate::compute::{Filled, Place};
use crate::device::Device;
use crate::error::RuntimeError;
use crate::gpus::from_cuda;
use crate::memory::{Block, DeviceBlock, OutputMemory, Reserved};
use crate::storage::out_of_memory;
use crate::tensor::Tensor;
use cuda::{CudaError, Stream as DeviceStream};

/// Copies a contiguous tensor to `device`.
pub(crate) fn transfer(
    name: &'static str,
    input: &Tensor,
    device: Device,
    place: &Place<'_>,
) -> Result<Vec<Filled>, RuntimeError> {
    let filled = match (input.device(), device) {
        (_, Device::Cpu) => Filled::Here(downloaded(name, input, place)?),
        (Device::Cpu, Device::Cuda(index)) => uploaded(name, bytes_here(input)?, index, place)?,
        (Device::Cuda(_), Device::Cuda(index)) => {
            let block = downloaded(name, input, place)?;
            let bytes = input.layout.count() * input.dtype.size();
            // SAFETY: the block holds as many bytes, filled by the copy.
            let bytes = unsafe { std::slice::from_raw_parts(block.pointer(), bytes) };
            uploaded(name, bytes, index, place)?
        }
    };
    Ok(vec![filled])
}

/// Has a contiguous tensor of this machine copied beside the device's kernels, to the one block of `reserved`.
pub(crate) fn ahead(
    name: &'static str,
    input: &Tensor,
    reserved: Result<Reserved, CudaError>,
    place: &Place<'_>,
) -> Result<Vec<Filled>, RuntimeError> {
    let bytes = bytes_here(input)?;
    let failed = |error| from_cuda(name, error);
    let blocks = reserved.and_then(Reserved::begin).map_err(failed)?;
    let copy = place.copy_here();
    blocks.iter().try_for_each(|block| block.fill(bytes, &copy)).map_err(failed)?;
    Ok(blocks.into_iter().map(Filled::OnDevice).collect())
}

/// The bytes of a contiguous tensor of this machine.
fn bytes_here(input: &Tensor) -> Result<&[u8], RuntimeError> {
    let size = input.dtype.size();
    let base = input.storage.pointer()?;
    // SAFETY: the layout lies within the storage, which is ready, held, and never written again; the
    // tensor is contiguous, as whoever submits a transfer sees to.
    Ok(unsafe {
        std::slice::from_raw_parts(
            base.add(input.layout.offset * size),
            input.layout.count() * size,
        )
    })
}

/// A copy of a contiguous tensor in this machine's memory.
fn downloaded(
    name: &'static str,
    input: &Tensor,
    place: &Place<'_>,
) -> Result<Block, RuntimeError> {
    downloaded_to(name, input, DeviceStream::Compute, place, None)
}

/// [`downloaded`] to a certain memory, after what is queued on `stream`.
pub(crate) fn downloaded_to(
    name: &'static str,
    input: &Tensor,
    stream: DeviceStream,
    place: &Place<'_>,
    memory: Option<&dyn OutputMemory>,
) -> Result<Block, RuntimeError> {
    let size = input.dtype.size();
    let bytes = input.layout.count() * size;
    let block = match memory {
        Some(memory) => Block::foreign(memory, name, bytes)?,
        None => Block::allocate(bytes).ok_or_else(|| out_of_memory(name, bytes))?,
    };
    // SAFETY: the block is new and of that size; the copies fill it before anyone reads it.
    let target = unsafe { std::slice::from_raw_parts_mut(block.pointer().cast(), bytes) };
    let copy = place.copy_here();
    match input.device() {
        Device::Cpu => copy(bytes_here(input)?, target),
        Device::Cuda(index) => {
            let source = input.storage.device_address()? + (input.layout.offset * size) as u64;
            let gpu = place.gpu(name, index)?;
            // SAFETY: the layout lies within the storage, which is held until the copy has ended.
            unsafe { gpu.device().copy_to_host_on(stream, target, source, &copy) }
                .map_err(|error| from_cuda(name, error))?;
            // What was waited for may have been called off.
            place.gpus.check()?;
        }
    }
    Ok(block)
}

/// A copy of `bytes` on the CUDA device of that index.
pub(crate) fn uploaded(
    name: &'static str,
    bytes: &[u8],
    index: usize,
    place: &Place<'_>,
) -> Result<Filled, RuntimeError> {
    let gpu = place.gpu(name, index)?;
    let device = gpu.device();
    let failed = |error| from_cuda(name, error);
    let block = DeviceBlock::allocate(device, bytes.len()).map_err(failed)?;
    let (stream, copy) = (DeviceStream::Compute, place.copy_here());
    // SAFETY: the block is new and as large as the bytes.
    unsafe { device.copy_to_device_on(stream, block.address(), bytes, &copy) }.map_err(failed)?;
    Ok(Filled::OnDevice(block))
}
