//! Compiled kernels, loaded.

use crate::device::Device;
use crate::driver::call;
use crate::error::{CudaError, CudaErrorCode};
use crate::image;
use crate::lock;
use crate::sys::{self, FunctionHandle, ModuleHandle};
use crate::tensor_map::TensorMap;
use std::collections::HashMap;
use std::ffi::{CStr, CString, c_int, c_void};
use std::sync::{Arc, Mutex};

/// Room for what the driver's compiler has to say.
const LOG_BYTES: usize = 16 << 10;

/// An argument of a kernel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Argument {
    /// An address on the device, 0 for none.
    Pointer(u64),
    /// A 32-bit integer, signed or not.
    I32(i32),
    /// A 64-bit integer, signed or not.
    I64(i64),
    /// A float of single precision.
    F32(f32),
    /// What describes a tensor to copies of boxes of it.
    TensorMap(TensorMap),
}

impl Argument {
    /// Where the value lies.
    pub(crate) fn pointer(&self) -> *mut c_void {
        match self {
            Self::Pointer(value) => std::ptr::from_ref(value).cast_mut().cast(),
            Self::I32(value) => std::ptr::from_ref(value).cast_mut().cast(),
            Self::I64(value) => std::ptr::from_ref(value).cast_mut().cast(),
            Self::F32(value) => std::ptr::from_ref(value).cast_mut().cast(),
            Self::TensorMap(value) => value.pointer(),
        }
    }
}

/// Kernels loaded on a device; unloaded when the last of its functions is gone.
pub struct Module {
    device: Arc<Device>,
    handle: ModuleHandle,
    /// The most dynamic shared memory that was asked for so far, by kernel.
    shared_bytes: Mutex<HashMap<CString, u32>>,
}

impl Device {
    /// Loads a cubin, or PTX that ends in a zero byte, which the driver then compiles.
    ///
    /// # Errors
    ///
    /// `Unsupported` where the image is for other devices or newer drivers; `Failed` where it is
    /// none, with the log of the driver's compiler.
    pub fn load_module(self: &Arc<Self>, image: &[u8]) -> Result<Arc<Module>, CudaError> {
        image::check(image).map_err(|reason| {
            CudaError::refused(CudaErrorCode::Failed, "cuModuleLoadDataEx", reason)
        })?;
        self.make_current()?;
        let mut errors = vec![0u8; LOG_BYTES];
        let mut names = [sys::CU_JIT_ERROR_LOG_BUFFER, sys::CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES];
        let mut values: [*mut c_void; 2] =
            [errors.as_mut_ptr().cast(), std::ptr::without_provenance_mut(LOG_BYTES)];
        let mut handle = ModuleHandle::NULL;
        // SAFETY: the image ends where its own header or its zero byte says, as checked; the log is
        // as long as the options say; the driver keeps none of these.
        let loaded = unsafe {
            call!(
                self.driver(),
                cuModuleLoadDataEx(
                    &mut handle,
                    image.as_ptr().cast(),
                    names.len() as u32,
                    names.as_mut_ptr(),
                    values.as_mut_ptr(),
                )
            )
        };
        loaded.map_err(|mut error| {
            let (major, minor) = self.compute_capability();
            let log = CStr::from_bytes_until_nul(&errors).unwrap_or_default().to_string_lossy();
            let kind = if image::is_elf(image) { "cubin" } else { "PTX" };
            error = error.while_doing(format!(
                "loading a {kind} of {} bytes on {} ({major}.{minor})",
                image.len(),
                self.name()
            ));
            if !log.trim().is_empty() {
                error.message = format!("{}; the driver's compiler: {}", error.message, log.trim());
            }
            error
        })?;
        Ok(Arc::new(Module { device: self.clone(), handle, shared_bytes: Mutex::default() }))
    }
}

impl Module {
    /// The kernel of that name.
    ///
    /// # Errors
    ///
    /// Where the module has none so named.
    pub fn function(self: &Arc<Self>, name: &CStr) -> Result<Function, CudaError> {
        self.device.make_current()?;
        let mut handle = FunctionHandle::NULL;
        // SAFETY: the module is loaded, the name ends in a zero byte; writes one handle.
        unsafe {
            call!(
                self.device.driver(),
                cuModuleGetFunction(&mut handle, self.handle, name.as_ptr())
            )
        }
        .map_err(|error| error.while_doing(format!("kernel {}", name.to_string_lossy())))?;
        Ok(Function { module: self.clone(), handle, name: name.to_owned() })
    }

    /// The device that it is loaded on.
    pub fn device(&self) -> &Arc<Device> {
        &self.device
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        // A kernel under way keeps its code: the driver unloads when it has run. Nobody is left to
        // be told of a failure.
        let _ = self.device.make_current();
        // SAFETY: loaded in `load_module`, unloaded once, no function of it is left.
        let _ = unsafe { call!(self.device.driver(), cuModuleUnload(self.handle)) };
    }
}

/// A kernel, ready to be launched.
pub struct Function {
    module: Arc<Module>,
    handle: FunctionHandle,
    name: CString,
}

impl Function {
    /// The name that it was found by.
    pub fn name(&self) -> &CStr {
        &self.name
    }

    /// The module that it belongs to.
    pub fn module(&self) -> &Arc<Module> {
        &self.module
    }

    pub(crate) fn handle(&self) -> FunctionHandle {
        self.handle
    }

    /// Asks for that much dynamic shared memory a block, unless that was done before.
    pub(crate) fn allow_shared_bytes(&self, bytes: u32) -> Result<(), CudaError> {
        // Held over the call: a smaller limit must not be set after a larger one.
        let mut asked = lock(&self.module.shared_bytes);
        if asked.get(&self.name).is_some_and(|most| *most >= bytes) {
            return Ok(());
        }
        let attribute = sys::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        // SAFETY: the function's module is loaded.
        unsafe {
            call!(
                self.module.device.driver(),
                cuFuncSetAttribute(self.handle, attribute, bytes as c_int)
            )
        }
        .map_err(|error| {
            let name = self.name.to_string_lossy();
            error.while_doing(format!("kernel {name}, {bytes} bytes of dynamic shared memory"))
        })?;
        asked.insert(self.name.clone(), bytes);
        Ok(())
    }
}
