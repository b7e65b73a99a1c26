//! Every operation on a CUDA device beside the same on the processor.
//!
//! The device is an emulated one, which interprets the kernels' PTX, unless `WAN_TEST_CUDA=driver` asks
//! for the system's own. Programs of this test run by themselves, so a machine with a GPU needs nothing
//! but the executable.

mod compare;
mod movement;
mod products;
mod quantization;
mod rows;
mod transfer;

use compare::Both;
use std::sync::OnceLock;
use tensor_runtime::{CudaDriver, Device, InstructionSet, Stream};

/// The stream of all tests, with a device.
fn both() -> Both {
    static STREAM: OnceLock<Stream> = OnceLock::new();
    let stream = STREAM.get_or_init(|| {
        let stream = Stream::new(2, InstructionSet::detect());
        if std::env::var("WAN_TEST_CUDA").as_deref() != Ok("driver") {
            // SAFETY: the emulator's functions are the driver's, by name and signature.
            let driver = unsafe { CudaDriver::with_symbols(&cuda_emulator::symbol) };
            stream.set_cuda_driver(
                driver.expect("the emulator has all that the driver layer asks for"),
            );
        }
        stream
    });
    Both { stream, device: Device::Cuda(0) }
}
