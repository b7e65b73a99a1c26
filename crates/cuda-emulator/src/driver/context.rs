//! Initialisation and primary contexts.

use std::ffi::{c_int, c_uint, c_void};
use std::sync::atomic::Ordering;

use super::functions::{functions, put};
use super::state::Emulator;
use super::status::{Failure, Status};

/// What `cuDriverGetVersion` answers: CUDA 13.0.
const VERSION: c_int = 13_000;

/// Handles of contexts: this and the device's number.
const FIRST_CONTEXT: usize = 0x6000_0000;

fn context(device: usize) -> *mut c_void {
    (FIRST_CONTEXT + 16 * device) as *mut c_void
}

functions! {
    /// Begins the driver's work in this process.
    fn cuInit(flags: c_uint) {
        if flags != 0 {
            return Err(Failure::new(Status::INVALID_VALUE, format!("flags {flags}")));
        }
        Emulator::initialize()
    }

    /// The version of CUDA.
    fn cuDriverGetVersion(version: *mut c_int) {
        // SAFETY: the caller's pointer.
        unsafe { put(version, VERSION) }
    }

    /// Retains the context of a device.
    fn cuDevicePrimaryCtxRetain(target: *mut *mut c_void, device: c_int) {
        let emulator = Emulator::get()?;
        let retained = &emulator.device(device)?.retained;
        // SAFETY: the caller's pointer.
        unsafe { put(target, context(device as usize)) }?;
        retained.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    /// Releases the context of a device.
    fn cuDevicePrimaryCtxRelease_v2(device: c_int) {
        let retained = &Emulator::get()?.device(device)?.retained;
        let less = retained.fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| {
            count.checked_sub(1)
        });
        less.map(|_| ()).map_err(|_| {
            let message = format!("the context of device {device} isn't retained");
            Failure::new(Status::INVALID_CONTEXT, message)
        })
    }

    /// Makes a context current on the calling thread.
    fn cuCtxSetCurrent(handle: *mut c_void) {
        let emulator = Emulator::get()?;
        let device = (0..emulator.devices.len()).find(|device| context(*device) == handle);
        if device.is_none() && !handle.is_null() {
            let message = format!("{handle:p} is the handle of no context");
            return Err(Failure::new(Status::INVALID_CONTEXT, message));
        }
        emulator.set_current(device);
        Ok(())
    }

    /// The context that is current on the calling thread.
    fn cuCtxGetCurrent(target: *mut *mut c_void) {
        let current = Emulator::get()?.current().map(|(device, _)| context(device));
        // SAFETY: the caller's pointer.
        unsafe { put(target, current.unwrap_or(std::ptr::null_mut())) }
    }

    /// Waits for all work of the current device, which is done already.
    fn cuCtxSynchronize() {
        Emulator::get()?.current().map(|_| ())
    }
}
