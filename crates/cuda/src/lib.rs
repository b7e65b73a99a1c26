//! NVIDIA's driver and libraries, opened at run time.
//!
//! Nothing of NVIDIA's is linked or needed to build: where there is no driver, [`Driver::open`] says
//! what it tried, and that is all. Three layers, each over the one before: tables of C functions
//! (`sys`), calls that answer with [`CudaError`] (`call!`), and values that own what they stand for
//! ([`Device`], [`DeviceMemory`], [`Module`], [`Event`]).
//!
//! An own layer instead of the crate cudarc: that one panics where a library or a function is
//! absent, while here every such case is a value that names what was tried; it asks cuBLASLt for an
//! algorithm at every call, while here it is chosen once, so that rows don't depend on their number;
//! it knows no folders of pip's packages; and of its tens of thousands of lines some fifty functions
//! are needed.

mod copy;
pub mod cublaslt;
pub mod cudnn;
mod device;
mod driver;
mod error;
mod event;
#[cfg(test)]
mod fake;
mod image;
pub mod libraries;
mod memory;
mod module;
pub mod nccl;
mod staging;
mod sys;
mod table;
mod tensor_map;
#[cfg(test)]
mod tests;

pub use copy::CopyHere;
pub use device::{Device, Stream};
pub use driver::Driver;
pub use error::{CudaError, CudaErrorCode};
pub use event::Event;
pub use libraries::{CudaSurvey, survey};
pub use memory::{Allocation, DeviceMemory};
pub use module::{Argument, Function, Module};
pub use tensor_map::{Boxes, TensorElement, TensorMap};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, though a thread panicked while it held the lock: no value here is left half changed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
