//! The driver's functions, as `cuda.h` declares them.
//!
//! All work is done when it is submitted: streams and events only keep their rules. Unlike a GPU's
//! driver this one tells a kernel's fault as the answer of its launch, and the context lives on.
//!
//! A driver has state by its nature: one [`state::Emulator`] per process, made by `cuInit`.

mod context;
mod device;
mod errors;
mod functions;
mod ipc;
mod launch;
mod memory;
mod module;
mod pool;
mod state;
mod status;
mod stream;
mod tensor_map;

use std::ffi::{CStr, c_void};

pub use errors::last_error;
pub use status::Status;

/// The function of the driver that C calls `name`.
pub fn symbol(name: &CStr) -> Option<*const c_void> {
    let name = name.to_str().ok()?;
    [
        context::find,
        device::find,
        errors::find,
        ipc::find,
        launch::find,
        memory::find,
        module::find,
        pool::find,
        stream::find,
        tensor_map::find,
    ]
    .iter()
    .find_map(|find| find(name))
}
