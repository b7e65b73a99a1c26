//! Operations that other crates bring along, such as collectives.

use crate::device::Device;
use crate::error::{ErrorCode, RuntimeError};
use crate::gpus::from_cuda;
use crate::memory::{OutputMemory, Reserved};
use crate::operations;
use crate::stream::{CpuKernel, Lane, Stream, Work, device_of};
use crate::tensor::Tensor;
use cpu_kernels::{Cpu, DType, TensorMut, TensorRef};
use cuda::{CudaError, Stream as DeviceStream};
use cuda_kernels::{DeviceView, Gpu};
use std::sync::Arc;

/// An output's memory, to be filled whole. It may be uninitialised.
pub struct OutputBytes {
    /// The first byte, aligned to 64 bytes.
    pub address: *mut u8,
    /// How many.
    pub bytes: usize,
}

/// When an operation that waits for other processes runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// In the stream's order, which waits for it. For one whose outputs are read next.
    InTurn,
    /// Beside the stream, which goes on: once everything submitted before is computed, and after
    /// every other operation of another crate submitted before. For one that computation can hide.
    Beside,
}

/// What an operation of another crate gets on a CUDA device.
pub struct DeviceCall<'a> {
    /// The device with its kernels.
    pub gpu: &'a Gpu,
    /// Where to queue all work: where kernels are, or beside them for [`Order::Beside`].
    pub stream: DeviceStream,
    /// Contiguous, and computed once what is on the stream before is done.
    pub inputs: &'a [DeviceView],
    /// To be filled whole.
    pub outputs: &'a [DeviceView],
    /// Whether the operation is called off.
    pub is_cancelled: &'a dyn Fn() -> bool,
}

impl DeviceCall<'_> {
    /// Queues zeros for all bytes of the outputs.
    ///
    /// # Errors
    /// Where the driver fails.
    pub fn zero_outputs(&self) -> Result<(), RuntimeError> {
        self.outputs.iter().try_for_each(|output| {
            let (address, bytes) = (output.pointer(), output.bytes());
            // SAFETY: the output's own bytes, which nothing else touches before it is there.
            unsafe { self.gpu.device().fill_bytes_on(self.stream, address, 0, bytes) }
                .map_err(|error| from_cuda("collective", error))
        })
    }
}

/// Queues an operation's work on a CUDA device.
pub type DeviceKernel = Box<dyn FnOnce(DeviceCall<'_>) -> Result<(), RuntimeError> + Send>;

/// How an operation of another crate treats tensors of CUDA devices.
#[derive(Default)]
pub struct OnDevices {
    /// What queues the work there. Without it inputs are copied to this machine, and outputs from there.
    pub kernel: Option<DeviceKernel>,
    /// Where such copies of inputs are made, by default in the process's own memory.
    pub staging: Option<Arc<dyn OutputMemory>>,
}

/// An operation of another crate.
pub(crate) struct External {
    pub(crate) cpu: CpuKernel,
    pub(crate) staging: Option<Arc<dyn OutputMemory>>,
    pub(crate) cuda: Option<DeviceKernel>,
    /// Its outputs on a device, where they are filled beside the kernels.
    pub(crate) reserved: Option<Result<Reserved, CudaError>>,
}

impl Stream {
    /// [`Stream::submit_external_on`] of what goes through this machine's memory wherever its tensors are.
    ///
    /// # Errors
    /// As [`Stream::submit_external_on`].
    pub fn submit_external(
        &self,
        name: &'static str,
        inputs: &[Tensor],
        outputs: Vec<(DType, Vec<usize>)>,
        order: Order,
        run: impl FnOnce(&[&[u8]], &[OutputBytes], &dyn Fn() -> bool) -> Result<(), RuntimeError>
        + Send
        + 'static,
    ) -> Result<Vec<Tensor>, RuntimeError> {
        let device = device_of(name, inputs)?;
        self.submit_external_on(device, name, inputs, outputs, order, run, OnDevices::default())
    }

    /// Hands over an operation on bytes and returns its outputs, which are computed later, on `device`,
    /// where the inputs are. Inputs that aren't contiguous are copied first. On a CUDA device
    /// `on_devices.kernel` queues the work; where there is none, inputs and outputs go through this
    /// machine's memory.
    ///
    /// `run` gets the inputs' bytes in row-major order, the outputs' memory, and a question that it
    /// asks from time to time: whether it is called off. It is dropped without being called where an
    /// input failed or the work was cancelled before. A trace hears of it by [`Stream::record`].
    ///
    /// # Errors
    /// `Shape` where an output has too many elements; `Device` where inputs are on several devices, or
    /// `device` can't be opened.
    #[expect(clippy::too_many_arguments, reason = "an operation's parts")]
    pub fn submit_external_on(
        &self,
        device: Device,
        name: &'static str,
        inputs: &[Tensor],
        outputs: Vec<(DType, Vec<usize>)>,
        order: Order,
        run: impl FnOnce(&[&[u8]], &[OutputBytes], &dyn Fn() -> bool) -> Result<(), RuntimeError>
        + Send
        + 'static,
        on_devices: OnDevices,
    ) -> Result<Vec<Tensor>, RuntimeError> {
        if !inputs.is_empty() && device_of(name, inputs)? != device {
            let (expected, found) = (format!("on {device}"), format!("on {}", inputs[0].device()));
            return Err(RuntimeError::new(ErrorCode::Device, name, "inputs", expected, found));
        }
        self.open_for(name, device)?;
        let whole = |tensor: &Tensor| {
            if tensor.is_contiguous() {
                Ok(tensor.clone())
            } else {
                operations::copy(self, tensor, tensor.dtype())
            }
        };
        let inputs = inputs.iter().map(whole).collect::<Result<Vec<_>, _>>()?;
        let kernel = move |cpu: &Cpu<'_>, inputs: &[TensorRef<'_>], outputs: &[TensorMut<'_>]| {
            let sources: Vec<&[u8]> = inputs.iter().map(bytes).collect();
            let targets: Vec<OutputBytes> = outputs.iter().map(output_bytes).collect();
            run(&sources, &targets, &|| cpu.pool.is_cancelled())
        };
        let lane = match order {
            Order::InTurn => Lane::InTurn,
            Order::Beside => Lane::Beside,
        };
        let OnDevices { kernel: cuda, staging } = on_devices;
        let external = External { cpu: Box::new(kernel), staging, cuda, reserved: None };
        self.submit_all(device, name, inputs, outputs, Work::External(Box::new(external)), lane)
    }
}

/// The bytes of a contiguous view.
fn bytes<'a>(view: &TensorRef<'a>) -> &'a [u8] {
    let address: *const u8 = match view.dtype.size() {
        1 => view.as_ptr(),
        2 => view.as_ptr::<u16>().cast(),
        4 => view.as_ptr::<u32>().cast(),
        _ => view.as_ptr::<u64>().cast(),
    };
    // SAFETY: the view's maker promised that its elements are initialised and unwritten for `'a`,
    // and it is contiguous.
    unsafe { std::slice::from_raw_parts(address, view.layout.count() * view.dtype.size()) }
}

fn output_bytes(view: &TensorMut<'_>) -> OutputBytes {
    let address: *mut u8 = match view.dtype.size() {
        1 => view.as_mut_ptr(),
        2 => view.as_mut_ptr::<u16>().cast(),
        4 => view.as_mut_ptr::<u32>().cast(),
        _ => view.as_mut_ptr::<u64>().cast(),
    };
    OutputBytes { address, bytes: view.layout.count() * view.dtype.size() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{InstructionSet, Storage, Traffic};

    fn tensor(bytes: &[u8], shape: &[usize]) -> Tensor {
        Tensor::new(Storage::copied(bytes).unwrap(), DType::UInt8, shape).unwrap()
    }

    #[test]
    fn gets_bytes_in_row_major_order_and_fills_its_output() {
        let stream = Stream::new(1, InstructionSet::detect());
        let turned = tensor(&[1, 2, 3, 4, 5, 6], &[2, 3]).permuted(&[1, 0]).unwrap();
        let outputs = vec![(DType::UInt8, vec![6]), (DType::UInt8, vec![1])];
        let results = stream.submit_external(
            "reverse",
            &[turned],
            outputs,
            Order::InTurn,
            |inputs, outputs, _| {
                assert_eq!((outputs[0].bytes, outputs[1].bytes), (6, 1));
                for (index, byte) in inputs[0].iter().rev().enumerate() {
                    // SAFETY: within the output's six bytes.
                    unsafe { outputs[0].address.add(index).write(*byte) };
                }
                // SAFETY: within the other's byte.
                unsafe { outputs[1].address.write(9) };
                Ok(())
            },
        );
        let [reversed, other]: [Tensor; 2] = results.unwrap().try_into().ok().unwrap();
        assert_eq!(stream.read_blocking(reversed).unwrap(), [6, 3, 5, 2, 4, 1]);
        assert_eq!(stream.read_blocking(other).unwrap(), [9]);
    }

    #[test]
    fn a_trace_hears_of_it_by_its_own_word() {
        let stream = Stream::new(1, InstructionSet::detect());
        let traffic = Traffic { group: "world".into(), bytes_sent: 4, bytes_received: 8 };
        stream.start_trace();
        let outputs = vec![(DType::UInt8, vec![1])];
        let run = |_: &[&[u8]], outputs: &[OutputBytes], _: &dyn Fn() -> bool| {
            // SAFETY: the output has one byte.
            unsafe { outputs[0].address.write(0) };
            Ok(())
        };
        stream.submit_external("collective", &[], outputs, Order::InTurn, run).unwrap();
        stream.synchronize();
        assert!(stream.drain_trace().is_empty());
        stream.record("collective", stream.clock(), traffic.clone());
        let events = stream.take_trace();
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].traffic.as_ref(), Some(&traffic));
        assert!(stream.drain_trace().is_empty());
    }

    #[test]
    fn fails_its_output() {
        let stream = Stream::new(1, InstructionSet::detect());
        let outputs = vec![(DType::UInt8, vec![1])];
        let result =
            stream.submit_external("collective", &[], outputs, Order::InTurn, |_, _, _| {
                Err(RuntimeError::new(ErrorCode::Collective, "collective", "", "", "rank 1 died"))
            });
        let result = result.unwrap().remove(0);
        let error = stream.read_blocking(result).unwrap_err();
        assert_eq!((error.code, error.to_string()), (ErrorCode::Collective, "rank 1 died".into()));
    }
}
