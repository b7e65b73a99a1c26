//! NCCL between emulated devices, for tests: ranks are processes or threads of one machine, and bytes go
//! over Unix sockets.
//!
//! It offers what this repository uses of NCCL but the sums. Two ways to use it:
//!
//! - in a test's process: [`symbol`] gives each function by its name, after [`use_driver`];
//! - by any program: the dynamic library exports the functions, and takes the driver's from the file that
//!   `WAN_CUDA_DRIVER` names.
//!
//! Communicators are non-blocking ones. A call answers `ncclInProgress` and is done by a thread, so that
//! whoever doesn't ask until it is done reads too early. Every message says of which call it is and how
//! long, so that calls that don't fit each other are an error and not other bytes. A collective is on the
//! device's stream no sooner than its bytes are there.

mod collectives;
mod communicator;
mod functions;
mod mesh;
mod status;

pub use driver_in_use::use_driver;
pub use functions::symbol;
