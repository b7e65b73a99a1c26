//! Operations that other crates bring along, such as collectives.

use crate::error::RuntimeError;
use crate::operations;
use crate::stream::{Lane, Stream, Work, device_of};
use crate::tensor::Tensor;
use cpu_kernels::{Cpu, DType, TensorMut, TensorRef};

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

impl Stream {
    /// Hands over an operation on bytes and returns its outputs, which are computed later, on the
    /// inputs' device. Inputs that aren't contiguous are copied first; those on another device than the
    /// processor go through this machine's memory, and the outputs as well.
    ///
    /// `run` gets the inputs' bytes in row-major order, the outputs' memory, and a question that it
    /// asks from time to time: whether it is called off. It is dropped without being called where an
    /// input failed or the work was cancelled before. A trace hears of it by [`Stream::record`].
    ///
    /// # Errors
    /// `Shape` where an output has too many elements; `Device` where inputs are on several devices.
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
        let device = device_of(name, &inputs)?;
        self.submit_all(device, name, inputs, outputs, Work::Staged(Box::new(kernel)), lane)
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
    use crate::{ErrorCode, InstructionSet, Storage, Traffic};

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
