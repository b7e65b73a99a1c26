//! A CUDA driver whose device is this machine's processor.
//!
//! It offers the functions of `libcuda` that this repository uses, and runs kernels by interpreting
//! PTX: that which Triton makes for compute capability 8.0, and for 9.0 what works beside the threads
//! too: products of matrices in shared memory (`wgmma`), copies of boxes of tensors, barriers with
//! phases. So the whole way of a GPU's work, arguments, grids, indices and arithmetic, is tested where
//! there is no GPU. Two ways to use it:
//!
//! - in a test's process: [`symbol`] gives each function by its name;
//! - by any program: the dynamic library exports the functions themselves.
//!
//! It is strict where a GPU isn't. Memory is poisoned when it is allocated and freed; every access is
//! held against the allocations, with its alignment; asynchronous copies and products aren't made
//! before they are waited for, and who uses what they read and write meanwhile is told; warps run
//! backwards between every other pair of barriers. What a kernel did wrong is the answer of its launch,
//! and `cuGetErrorString` and [`last_error`] say where: kernel, block, thread, line of PTX and of the
//! source, address.
//!
//! `WAN_EMULATOR_MEMORY` (bytes, 8 GiB otherwise), `WAN_EMULATOR_DEVICES` (1 otherwise) and
//! `WAN_EMULATOR_CAPABILITY` (a compute capability such as 9.0, 99.0 otherwise) are read by the first
//! `cuInit`.

mod driver;
mod execute;
mod memory;
mod ptx;

pub use driver::{Status, last_error, symbol};
