//! Memory of other processes, which this driver doesn't share.

use std::ffi::{c_uint, c_void};

use super::functions::functions;
use super::status::{Answer, Failure, Status};

/// `CUipcMemHandle`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct IpcHandle([u8; 64]);

fn refused() -> Answer {
    let message = "the emulator's memory can't be shared between processes";
    Err(Failure::new(Status::NOT_SUPPORTED, message))
}

functions! {
    /// Not supported.
    fn cuIpcGetMemHandle(_handle: *mut c_void, _address: u64) {
        refused()
    }

    /// Not supported.
    fn cuIpcOpenMemHandle_v2(_address: *mut u64, _handle: IpcHandle, _flags: c_uint) {
        refused()
    }

    /// Not supported.
    fn cuIpcCloseMemHandle(_address: u64) {
        refused()
    }
}
