//! Values back to the caller.

use crate::device::Device;
use crate::error::RuntimeError;
use crate::operations;
use crate::stream::{Awaited, Stream};
use crate::tensor::Tensor;
use cpu_kernels::Layout;

/// What values of a rehearsal read as: the yes of a flag, a finite float.
const REHEARSED_BYTE: u8 = 1;

impl Stream {
    /// Calls `receive` on the stream's thread with the tensor's bytes in row-major order, once
    /// they are computed.
    pub fn read(
        &self,
        tensor: Tensor,
        receive: impl FnOnce(Result<Vec<u8>, RuntimeError>) + Send + 'static,
    ) {
        let rehearsing = self.is_rehearsing();
        let here = match tensor.device() {
            Device::Cpu => Ok(tensor),
            Device::Cuda(_) => operations::to_device(self, &tensor, Device::Cpu),
        };
        let tensor = match here {
            Ok(tensor) => tensor,
            Err(error) => return receive(Err(error)),
        };
        self.call_back(Awaited::Tensor(tensor.clone()), move || {
            let bytes = gather(&tensor, rehearsing);
            // Dropped first, so that a caller who waits for the value finds the memory freed.
            drop(tensor);
            receive(bytes);
        });
    }

    /// Waits for the tensor's value and returns its bytes in row-major order.
    pub fn read_blocking(&self, tensor: Tensor) -> Result<Vec<u8>, RuntimeError> {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        self.read(tensor, move |bytes| {
            // The receiver waits below; it can't be gone.
            let _ = sender.send(bytes);
        });
        receiver.recv().unwrap_or_else(|_| {
            Err(RuntimeError::new(
                crate::ErrorCode::Internal,
                "read",
                "",
                "",
                "the stream's thread has ended",
            ))
        })
    }
}

fn gather(tensor: &Tensor, rehearsing: bool) -> Result<Vec<u8>, RuntimeError> {
    let size = tensor.dtype.size();
    let Layout { shape, strides, offset } = &tensor.layout;
    let count = tensor.layout.count();
    if rehearsing && tensor.storage.is_absent() {
        return Ok(vec![REHEARSED_BYTE; count * size]);
    }
    let base = tensor.storage.pointer()?;
    let mut bytes = Vec::with_capacity(count * size);
    if count == 0 {
        return Ok(bytes);
    }
    // The longest row-major tail of the layout is copied in one piece.
    let mut run = 1;
    let mut outer = shape.len();
    while outer > 0 && (shape[outer - 1] == 1 || strides[outer - 1] == run) {
        run *= shape[outer - 1];
        outer -= 1;
    }
    let mut index = vec![0; outer];
    loop {
        let start: usize =
            offset + index.iter().zip(strides).map(|(i, stride)| i * stride).sum::<usize>();
        // SAFETY: the layout lies within the ready storage, so these `run` elements do.
        bytes.extend_from_slice(unsafe {
            std::slice::from_raw_parts(base.add(start * size), run * size)
        });
        let mut dim = outer;
        loop {
            if dim == 0 {
                return Ok(bytes);
            }
            dim -= 1;
            index[dim] += 1;
            if index[dim] < shape[dim] {
                break;
            }
            index[dim] = 0;
        }
    }
}
