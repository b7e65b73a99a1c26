//! For emulators of NVIDIA's libraries: copies between the device's memory and this process's, by the
//! driver that the process uses.
//!
//! That is what [`use_driver`] was given, in a test's process; otherwise the file that `WAN_CUDA_DRIVER`
//! names.

use std::ffi::{CStr, CString, c_int, c_void};
use std::sync::OnceLock;

/// Names the driver's file, here as in the crate `cuda`.
const DRIVER_VARIABLE: &str = "WAN_CUDA_DRIVER";

type CopyToHost = unsafe extern "C" fn(*mut c_void, u64, usize, *mut c_void) -> c_int;
type CopyToDevice = unsafe extern "C" fn(u64, *const c_void, usize, *mut c_void) -> c_int;
type CurrentContext = unsafe extern "C" fn(*mut *mut c_void) -> c_int;
type SetContext = unsafe extern "C" fn(*mut c_void) -> c_int;

/// What the driver couldn't do, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriverFailure(pub String);

/// The driver's functions.
pub struct Driver {
    copy_to_host: CopyToHost,
    copy_to_device: CopyToDevice,
    current_context: CurrentContext,
    set_context: SetContext,
}

static DRIVER: OnceLock<Result<Driver, DriverFailure>> = OnceLock::new();

/// Has copies made by functions that are in this process already: before any copy, and
/// only once.
///
/// # Safety
/// `symbol` gives functions of the signatures that `cuda.h` gives their names.
pub unsafe fn use_driver(symbol: &dyn Fn(&CStr) -> Option<*const c_void>) {
    // SAFETY: the caller's promise.
    DRIVER.get_or_init(|| unsafe { Driver::load(symbol) });
}

/// The driver, opened at first use.
///
/// # Errors
/// Where it isn't named, or isn't a driver.
pub fn driver() -> Result<&'static Driver, DriverFailure> {
    let opened = DRIVER.get_or_init(|| {
        let file = std::env::var(DRIVER_VARIABLE)
            .map_err(|_| DriverFailure(format!("{DRIVER_VARIABLE} names no emulated driver")))?;
        let name = CString::new(file.as_str()).map_err(|error| DriverFailure(error.to_string()))?;
        // SAFETY: a valid name; whoever names the driver vouches for what it runs when it is opened.
        let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        if handle.is_null() {
            return Err(DriverFailure(format!("{file} can't be opened")));
        }
        let symbol = |name: &CStr| {
            // SAFETY: an open library and a valid name.
            let address = unsafe { libc::dlsym(handle, name.as_ptr()) };
            (!address.is_null()).then_some(address.cast_const())
        };
        // SAFETY: it is a driver, whose functions have these signatures.
        unsafe { Driver::load(&symbol) }
    });
    opened.as_ref().map_err(Clone::clone)
}

/// A CUDA context, of any thread.
#[derive(Clone, Copy)]
pub struct Context(*mut c_void);

// SAFETY: a handle, which the driver takes from any thread.
unsafe impl Send for Context {}
// SAFETY: as above.
unsafe impl Sync for Context {}

/// A CUDA stream, of any thread.
#[derive(Clone, Copy)]
pub struct Stream(
    /// The driver's handle.
    pub *mut c_void,
);

// SAFETY: as of `Context`.
unsafe impl Send for Stream {}
// SAFETY: as above.
unsafe impl Sync for Stream {}

impl Driver {
    /// # Safety
    /// As [`use_driver`].
    unsafe fn load(
        symbol: &dyn Fn(&CStr) -> Option<*const c_void>,
    ) -> Result<Driver, DriverFailure> {
        let find = |name: &CStr| {
            symbol(name).ok_or_else(|| {
                DriverFailure(format!("the driver lacks {}", name.to_string_lossy()))
            })
        };
        // SAFETY: the caller's promise; a function's address is as large as a pointer.
        unsafe {
            Ok(Driver {
                copy_to_host: std::mem::transmute::<*const c_void, CopyToHost>(find(
                    c"cuMemcpyDtoHAsync_v2",
                )?),
                copy_to_device: std::mem::transmute::<*const c_void, CopyToDevice>(find(
                    c"cuMemcpyHtoDAsync_v2",
                )?),
                current_context: std::mem::transmute::<*const c_void, CurrentContext>(find(
                    c"cuCtxGetCurrent",
                )?),
                set_context: std::mem::transmute::<*const c_void, SetContext>(find(
                    c"cuCtxSetCurrent",
                )?),
            })
        }
    }

    /// The calling thread's context.
    ///
    /// # Errors
    /// Where none is current.
    pub fn context(&self) -> Result<Context, DriverFailure> {
        let mut context = std::ptr::null_mut();
        // SAFETY: writes one handle.
        check("cuCtxGetCurrent", unsafe { (self.current_context)(&mut context) })?;
        if context.is_null() {
            return Err(DriverFailure("no CUDA context is current".into()));
        }
        Ok(Context(context))
    }

    /// Makes a context the calling thread's.
    ///
    /// # Errors
    /// What the driver answers.
    pub fn enter(&self, context: Context) -> Result<(), DriverFailure> {
        // SAFETY: a context of this process.
        check("cuCtxSetCurrent", unsafe { (self.set_context)(context.0) })
    }

    /// The device's bytes, once what is on the stream before is done.
    ///
    /// # Errors
    /// What the driver answers.
    pub fn read(
        &self,
        address: u64,
        bytes: usize,
        stream: Stream,
    ) -> Result<Vec<u8>, DriverFailure> {
        let mut target = vec![0u8; bytes];
        if bytes > 0 {
            let pointer = target.as_mut_ptr().cast();
            // SAFETY: as many bytes of this process. The emulated device has copied when it returns.
            let status = unsafe { (self.copy_to_host)(pointer, address, bytes, stream.0) };
            check("cuMemcpyDtoHAsync_v2", status)?;
        }
        Ok(target)
    }

    /// Writes the device's bytes.
    ///
    /// # Errors
    /// What the driver answers.
    pub fn write(&self, address: u64, bytes: &[u8], stream: Stream) -> Result<(), DriverFailure> {
        if bytes.is_empty() {
            return Ok(());
        }
        let pointer = bytes.as_ptr().cast();
        // SAFETY: as in `read`.
        let status = unsafe { (self.copy_to_device)(address, pointer, bytes.len(), stream.0) };
        check("cuMemcpyHtoDAsync_v2", status)
    }
}

fn check(function: &str, status: c_int) -> Result<(), DriverFailure> {
    match status {
        0 => Ok(()),
        _ => Err(DriverFailure(format!("{function} answered {status}"))),
    }
}
