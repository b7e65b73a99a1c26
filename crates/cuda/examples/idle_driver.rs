//! A CUDA driver that has no device, takes kernels and never runs any: what NVIDIA's cuDNN wants before
//! it makes plans for devices that aren't there. It goes by the name `libcuda.so.1`.
//!
//! Symbols are those that versions 9.13 to 9.28 look for. Most are never called.

#![allow(non_snake_case, reason = "the names that cuda.h gives them")]

use std::ffi::{c_char, c_int, c_void};

/// `CUresult`.
type Status = c_int;
const SUCCESS: Status = 0;
const NOT_SUPPORTED: Status = 801;

/// What stands for a module or a kernel; nobody looks behind it.
static NOTHING: u8 = 0;

/// Gives out something that stands for what was loaded.
///
/// # Safety
/// A place for a handle.
unsafe fn give(place: *mut *const c_void) -> Status {
    // SAFETY: the caller's place.
    unsafe { place.write((&raw const NOTHING).cast()) };
    SUCCESS
}

/// # Safety
/// Pointers are what `cuda.h` says, here as below.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuLibraryLoadData(library: *mut *const c_void) -> Status {
    // SAFETY: the caller's place, here as below.
    unsafe { give(library) }
}

/// # Safety
/// As above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuLibraryGetKernel(kernel: *mut *const c_void) -> Status {
    // SAFETY: as above.
    unsafe { give(kernel) }
}

/// # Safety
/// As above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuKernelGetFunction(function: *mut *const c_void) -> Status {
    // SAFETY: as above.
    unsafe { give(function) }
}

/// # Safety
/// As above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuModuleLoadData(module: *mut *const c_void) -> Status {
    // SAFETY: as above.
    unsafe { give(module) }
}

/// # Safety
/// As above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuModuleGetFunction(function: *mut *const c_void) -> Status {
    // SAFETY: as above.
    unsafe { give(function) }
}

/// # Safety
/// As above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGetCount(count: *mut c_int) -> Status {
    // SAFETY: as above.
    unsafe { count.write(0) };
    SUCCESS
}

/// # Safety
/// As above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuGetErrorString(_: Status, text: *mut *const c_char) -> Status {
    // SAFETY: as above.
    unsafe { text.write(c"the driver that runs nothing can't".as_ptr()) };
    SUCCESS
}

macro_rules! answering {
    ($answer:expr; $($name:ident),*) => {
        $(
            /// Answers, whatever it is asked.
            #[unsafe(no_mangle)]
            pub extern "C" fn $name() -> Status {
                $answer
            }
        )*
    };
}
answering!(SUCCESS; cuLibraryUnload, cuModuleUnload, cuKernelSetAttribute, cuFuncSetAttribute);
answering!(
    NOT_SUPPORTED;
    cuCtxGetCurrent, cuCtxGetLimit, cuCtxPopCurrent, cuCtxPushCurrent, cuDeviceGet,
    cuDriverGetVersion, cuGetErrorName, cuKernelGetAttribute, cuLaunchCooperativeKernel,
    cuLaunchKernel, cuLaunchKernelEx, cuLibraryLoadFromFile, cuLinkAddData, cuLinkComplete,
    cuLinkCreate, cuLinkDestroy, cuOccupancyMaxPotentialClusterSize, cuStreamGetCtx,
    cuTensorMapEncodeIm2col, cuTensorMapEncodeTiled
);
