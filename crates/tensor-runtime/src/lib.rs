//! Tensors and the streams that compute them.
//!
//! A [`Tensor`] is a view of a [`Storage`]. Operations ([`operations`]) check their arguments at
//! once, then hand the work to a [`Stream`], which computes in order on its own thread: the caller
//! goes on, and only reading a value waits. A storage's memory is allocated when its operation
//! begins and freed when the last view of it is gone, so running ahead of the stream costs none.
//!
//! An operation that fails (no memory, cancelled, a fault in a kernel) fails its outputs, and with
//! them everything computed from them; whoever reads such a tensor gets the first error.

mod beside;
mod cancellation;
mod compute;
mod copying;
mod device;
mod error;
mod execute;
mod external;
mod gpus;
mod memory;
pub mod operations;
mod read;
mod rehearsal;
mod spare;
mod storage;
mod stream;
mod tensor;
mod trace;
mod transfer;

pub use cancellation::CancelToken;
pub use cpu_kernels::{DType, InstructionSet, Layout};
pub use cuda::Driver as CudaDriver;
pub use cuda::Stream as DeviceStream;
pub use cuda_kernels::{DeviceView, Gpu};
pub use device::Device;
pub use error::{ErrorCode, RuntimeError};
pub use external::{DeviceCall, DeviceKernel, OnDevices, Order, OutputBytes};
pub use gpus::CudaFacts;
pub use memory::{MemoryCounters, OutputBlock, OutputMemory};
pub use rehearsal::{Operand, Rehearsed, RehearsedOperation};
pub use storage::{Backing, Storage};
pub use stream::Stream;
pub use tensor::Tensor;
pub use trace::{TraceEvent, Traffic};
