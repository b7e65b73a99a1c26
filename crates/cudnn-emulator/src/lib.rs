//! cuDNN on the emulated device, for tests: scaled dot-product attention by the backend API, computed on
//! the processor in float64.
//!
//! It offers what this repository uses of cuDNN. Two ways to use it:
//!
//! - in a test's process: [`symbol`] gives each function by its name, after [`use_driver`];
//! - by any program: the dynamic library exports the functions, and takes the driver's from the file that
//!   `WAN_CUDA_DRIVER` names. As `libcudnn.so.9` and, since cuDNN wants one, as `libcublasLt.so.12`, it
//!   lies in a folder of `WAN_CUDA_LIBRARIES`.
//!
//! It is stricter than cuDNN: attributes have the type that the header gives them and are set once,
//! descriptors are finalized before others hold them and are gone when they are destroyed, a plan runs on
//! the handle that it was made for, and what is handed to a plan is what its graph names, no less and no
//! more, aligned as was said.

mod attention;
mod attribute;
mod descriptor;
mod finalize;
mod functions;
mod memory;
mod run;
mod state;
mod status;

pub use driver_in_use::use_driver;
pub use functions::symbol;
pub use state::live;
