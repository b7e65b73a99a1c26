//! One operation, computed where its tensors are.

use crate::cancellation::CancelToken;
use crate::device::Device;
use crate::error::{ErrorCode, RuntimeError};
use crate::external::{DeviceCall, DeviceKernel, External};
use crate::gpus::{Gpus, from_cuda};
use crate::memory::{Block, DeviceBlock, OutputMemory, Reserved};
use crate::storage::{Storage, out_of_memory};
use crate::stream::{CpuKernel, CudaKernel, GpuFailure, Operation, Pending, Work};
use crate::tensor::Tensor;
use crate::transfer::{ahead, downloaded_to, transfer, uploaded};
use cpu_kernels::{Cpu, DType, TensorMut, TensorRef};
use cuda::{CudaError, Stream as DeviceStream};
use cuda_kernels::{DeviceView, Gpu};
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Where an operation runs and has its outputs.
pub(crate) struct Place<'a> {
    pub(crate) device: Device,
    pub(crate) gpus: &'a Gpus,
    /// How many threads may share this machine's part of a copy to a device or from there.
    pub(crate) copying_threads: usize,
    /// Where outputs on the processor are allocated, if not in the process's own memory.
    pub(crate) memory: Option<&'a dyn OutputMemory>,
    pub(crate) cpu: Cpu<'a>,
}

impl Place<'_> {
    /// Does this machine's part of copies to devices and from there.
    pub(crate) fn copy_here(&self) -> impl Fn(&[u8], &mut [MaybeUninit<u8>]) {
        |source, target| self.gpus.copiers.copy(self.copying_threads, source, target)
    }

    /// The CUDA device of that index.
    pub(crate) fn gpu(&self, name: &'static str, index: usize) -> Result<Arc<Gpu>, RuntimeError> {
        self.gpus.opened(index).ok_or_else(|| {
            let found = format!("{} was not opened", Device::Cuda(index));
            RuntimeError::new(ErrorCode::Internal, name, "", "", found)
        })
    }
}

/// An output's memory, filled.
pub(crate) enum Filled {
    Here(Block),
    OnDevice(DeviceBlock),
}

impl Filled {
    /// Makes the storage ready.
    pub(crate) fn complete(self, storage: &Storage) {
        match self {
            Filled::Here(block) => storage.complete(block),
            Filled::OnDevice(block) => storage.complete_on_device(block),
        }
    }
}

/// Computes an operation, unless it is cancelled, and returns its outputs' memory.
pub(crate) fn compute(
    name: &'static str,
    inputs: &[Tensor],
    outputs: &[Pending],
    work: Work,
    token: &Option<CancelToken>,
    place: &Place<'_>,
) -> Result<Vec<Filled>, RuntimeError> {
    let is_cancelled = || token.as_ref().is_some_and(CancelToken::is_cancelled);
    let cancelled = || RuntimeError::new(ErrorCode::Cancelled, name, "", "", "");
    if is_cancelled() {
        return Err(cancelled());
    }
    let run = || match (work, place.device) {
        (Work::Kernels { cpu, .. }, Device::Cpu) => on_cpu(name, inputs, outputs, cpu, place),
        (Work::Kernels { cuda, .. }, Device::Cuda(index)) => {
            on_gpu(name, inputs, outputs, cuda, &*place.gpu(name, index)?, place.gpus)
        }
        (Work::External(external), device) => {
            run_external(name, inputs, outputs, *external, device, place)
        }
        (Work::TransferAhead(Some(reserved)), _) => ahead(name, &inputs[0], reserved, place),
        (Work::Transfer | Work::TransferAhead(None), device) => {
            transfer(name, &inputs[0], device, place)
        }
    };
    let filled = match catch_unwind(AssertUnwindSafe(run)) {
        Ok(outcome) => outcome?,
        Err(panic) => {
            let message = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("a panic without a message");
            return Err(RuntimeError::new(ErrorCode::Internal, name, "", "", message));
        }
    };
    if is_cancelled() {
        return Err(cancelled());
    }
    Ok(filled)
}

fn on_cpu(
    name: &'static str,
    inputs: &[Tensor],
    outputs: &[Pending],
    kernel: CpuKernel,
    place: &Place<'_>,
) -> Result<Vec<Filled>, RuntimeError> {
    let mut views = Vec::with_capacity(inputs.len());
    for input in inputs {
        let base = input.storage.pointer()?;
        // SAFETY: a tensor's layout lies within its storage (every constructor and view checks it),
        // which is ready, held by `inputs`, and never written again.
        views.push(unsafe { TensorRef::new(base, input.dtype, input.layout.clone()) });
    }
    let blocks = run_on_cpu(name, &views, outputs, kernel, &place.cpu, place.memory)?;
    Ok(blocks.into_iter().map(Filled::Here).collect())
}

fn run_on_cpu(
    name: &'static str,
    inputs: &[TensorRef<'_>],
    outputs: &[Pending],
    kernel: CpuKernel,
    cpu: &Cpu<'_>,
    memory: Option<&dyn OutputMemory>,
) -> Result<Vec<Block>, RuntimeError> {
    let mut blocks = Vec::with_capacity(outputs.len());
    let mut results = Vec::with_capacity(outputs.len());
    for output in outputs {
        let bytes = output.storage.bytes();
        let block = match memory {
            Some(memory) => Block::foreign(memory, name, bytes)?,
            None => Block::allocate(bytes).ok_or_else(|| out_of_memory(name, bytes))?,
        };
        // SAFETY: the block is new, of the shape's size, and only this operation has it.
        results.push(unsafe { TensorMut::new(block.pointer(), output.dtype, &output.shape) });
        blocks.push(block);
    }
    kernel(cpu, inputs, &results)?;
    Ok(blocks)
}

fn on_gpu(
    name: &'static str,
    inputs: &[Tensor],
    outputs: &[Pending],
    kernel: CudaKernel,
    gpu: &Gpu,
    gpus: &Gpus,
) -> Result<Vec<Filled>, RuntimeError> {
    gpus.check()?;
    let view = |address: u64, dtype: DType, layout| DeviceView { address, dtype, layout };
    let mut views = Vec::with_capacity(inputs.len());
    for input in inputs {
        let address = input.storage.device_address()?;
        views.push(view(address, input.dtype, input.layout.clone()));
    }
    let mut blocks = Vec::with_capacity(outputs.len());
    let mut results = Vec::with_capacity(outputs.len());
    for output in outputs {
        let block = DeviceBlock::allocate(gpu.device(), output.storage.bytes())
            .map_err(|error| from_cuda(name, error))?;
        let layout = cpu_kernels::Layout::contiguous(&output.shape);
        results.push(view(block.address(), output.dtype, layout));
        blocks.push(Filled::OnDevice(block));
    }
    kernel(gpu, &views, &results).map_err(|failure| match failure {
        GpuFailure::Cuda(error) => from_cuda(name, error),
        GpuFailure::Refused(error) => error,
    })?;
    let counted = gpus.count_operation(gpu, DeviceStream::Compute);
    counted.map_err(|error| from_cuda(name, error))?;
    Ok(blocks)
}

fn run_external(
    name: &'static str,
    inputs: &[Tensor],
    outputs: &[Pending],
    external: External,
    device: Device,
    place: &Place<'_>,
) -> Result<Vec<Filled>, RuntimeError> {
    match external {
        External { cuda: Some(kernel), reserved, .. } if let Device::Cuda(index) = device => {
            let gpu = place.gpu(name, index)?;
            on_device(name, inputs, outputs, (kernel, reserved), &gpu, place)
        }
        external => staged(name, inputs, outputs, external, device, place),
    }
}

/// Has another crate queue its work on the device, beside the kernels where outputs are reserved.
fn on_device(
    name: &'static str,
    inputs: &[Tensor],
    outputs: &[Pending],
    (kernel, reserved): (DeviceKernel, Option<Result<Reserved, CudaError>>),
    gpu: &Gpu,
    place: &Place<'_>,
) -> Result<Vec<Filled>, RuntimeError> {
    let failed = |error| from_cuda(name, error);
    place.gpus.check()?;
    let mut sources = Vec::with_capacity(inputs.len());
    for input in inputs {
        let (address, layout) = (input.storage.device_address()?, input.layout.clone());
        sources.push(DeviceView { address, dtype: input.dtype, layout });
    }
    let device = gpu.device();
    let (stream, blocks) = match reserved.transpose().map_err(failed)? {
        Some(reserved) => (DeviceStream::Copy, reserved.begin().map_err(failed)?),
        None => {
            let allocate = |output: &Pending| DeviceBlock::allocate(device, output.storage.bytes());
            let blocks = outputs.iter().map(allocate).collect::<Result<Vec<_>, _>>();
            (DeviceStream::Compute, blocks.map_err(failed)?)
        }
    };
    let target = |(block, output): (&DeviceBlock, &Pending)| {
        let layout = cpu_kernels::Layout::contiguous(&output.shape);
        DeviceView { address: block.address(), dtype: output.dtype, layout }
    };
    let targets: Vec<DeviceView> = blocks.iter().zip(outputs).map(target).collect();
    let is_cancelled = || place.cpu.pool.is_cancelled();
    let queued = kernel(DeviceCall {
        gpu,
        stream,
        inputs: &sources,
        outputs: &targets,
        is_cancelled: &is_cancelled,
    });
    if stream == DeviceStream::Copy {
        // Also of what failed midway: some of it may be queued.
        for block in &blocks {
            block.arrives_at(device.record(stream).map_err(failed)?);
        }
        for input in inputs {
            input.storage.hold_until(device.record(stream).map_err(failed)?);
        }
    }
    queued?;
    place.gpus.count_operation(gpu, stream).map_err(failed)?;
    Ok(blocks.into_iter().map(Filled::OnDevice).collect())
}

/// Copies inputs here, to memory of the operation's where it has such, computes, and copies outputs to
/// `device`; beside its kernels where outputs are reserved.
fn staged(
    name: &'static str,
    inputs: &[Tensor],
    outputs: &[Pending],
    external: External,
    device: Device,
    place: &Place<'_>,
) -> Result<Vec<Filled>, RuntimeError> {
    let External { cpu: kernel, staging, reserved, .. } = external;
    if device == Device::Cpu && inputs.iter().all(|input| input.device() == Device::Cpu) {
        return on_cpu(name, inputs, outputs, kernel, place);
    }
    let failed = |error| from_cuda(name, error);
    let reserved = reserved.transpose().and_then(|all| all.map(Reserved::begin).transpose());
    let reserved = reserved.map_err(failed)?;
    let stream = match reserved {
        Some(_) => DeviceStream::Copy,
        None => DeviceStream::Compute,
    };
    let mut copies = Vec::with_capacity(inputs.len());
    for input in inputs {
        copies.push(downloaded_to(name, input, stream, place, staging.as_deref())?);
    }
    let mut views = Vec::with_capacity(inputs.len());
    for (input, copy) in inputs.iter().zip(&copies) {
        let layout = cpu_kernels::Layout::contiguous(input.shape());
        // SAFETY: the block is as large as the contiguous input, filled, and held until the end.
        views.push(unsafe { TensorRef::new(copy.pointer(), input.dtype, layout) });
    }
    let blocks = run_on_cpu(name, &views, outputs, kernel, &place.cpu, place.memory)?;
    let mut reserved = reserved.into_iter().flatten();
    let upload = |(block, output): (Block, &Pending)| {
        // SAFETY: the kernel has filled the block, which is of the output's size.
        let bytes = unsafe { std::slice::from_raw_parts(block.pointer(), output.storage.bytes()) };
        match (reserved.next(), device) {
            (Some(target), _) => {
                target.fill(bytes, &place.copy_here()).map_err(failed)?;
                Ok(Filled::OnDevice(target))
            }
            (None, Device::Cpu) => Ok(Filled::Here(block)),
            (None, Device::Cuda(index)) => uploaded(name, bytes, index, place),
        }
    };
    blocks.into_iter().zip(outputs).map(upload).collect()
}

/// Takes the memory of what the device will do beside its kernels, at the point that they have come to.
/// Copies between devices go through this machine, and need none before.
pub(crate) fn reserve(operation: &mut Operation, gpus: &Gpus) {
    let Operation { inputs, outputs, work, device, token, .. } = operation;
    let Device::Cuda(index) = *device else { return };
    if token.as_ref().is_some_and(CancelToken::is_cancelled) {
        return;
    }
    // One that isn't open is told of where the copy is made.
    let Some(gpu) = gpus.opened(index) else { return };
    let bytes = outputs.iter().map(|output| output.storage.bytes());
    match work {
        Work::TransferAhead(reserved) if inputs[0].device() == Device::Cpu => {
            *reserved = Some(Reserved::new(gpu.device(), bytes));
        }
        Work::External(external) => {
            external.reserved = Some(Reserved::new(gpu.device(), bytes));
        }
        _ => {}
    }
}
