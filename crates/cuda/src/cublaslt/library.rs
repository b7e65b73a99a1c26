//! cuBLASLt opened, and its calls, checked.

use super::sys::{self, Functions, Handle, Status};
use crate::error::{CudaError, CudaErrorCode};
use crate::libraries::{Library, LibraryKind, SearchPaths};
use crate::table::Symbols;
use std::ffi::{CStr, c_char, c_int, c_void};

/// The library's functions.
pub(super) struct Api {
    pub functions: Functions,
    /// Kept open, with its functions in use; `None` for functions that came from elsewhere.
    pub library: Option<Library>,
}

/// Calls one of the library's functions and checks what it answers. Unsafe as that function is.
macro_rules! call {
    ($api:expr, $function:ident($($argument:expr),* $(,)?)) => {
        $api.check(stringify!($function), ($api.functions.$function)($($argument),*))
    };
}
pub(super) use call;

impl Api {
    /// Opens the newest library that a driver of that version can be used with.
    pub fn open(paths: &SearchPaths, driver: (u32, u32)) -> Result<Api, CudaError> {
        let kind = LibraryKind::CublasLt;
        let library = paths.open(kind, Some(driver), |_| Ok(())).map_err(|tried| {
            let message = format!("no cuBLASLt: {tried}; {}", kind.how_to_get_it());
            CudaError::refused(CudaErrorCode::Unsupported, "dlopen", message)
        })?;
        // SAFETY: it is cuBLASLt of a version whose header gives these signatures.
        let mut api = unsafe { Api::load(&|name| library.symbol(name)) }?;
        api.library = Some(library);
        Ok(api)
    }

    /// # Safety
    ///
    /// What `symbol` gives for a name is a function of the signature that `cublasLt.h` gives it.
    pub unsafe fn load(symbol: Symbols) -> Result<Api, CudaError> {
        // SAFETY: the caller vouches for the functions.
        let functions = unsafe { Functions::load(symbol) }.map_err(|missing| {
            let message =
                format!("cuBLASLt lacks {}: version 12 is the oldest", missing.join(", "));
            CudaError::refused(CudaErrorCode::Unsupported, "dlsym", message)
        })?;
        Ok(Api { functions, library: None })
    }

    pub fn check(&self, function: &'static str, status: Status) -> Result<(), CudaError> {
        if status == sys::CUBLAS_STATUS_SUCCESS {
            return Ok(());
        }
        let code = match status {
            sys::CUBLAS_STATUS_ALLOC_FAILED => CudaErrorCode::OutOfMemory,
            sys::CUBLAS_STATUS_ARCH_MISMATCH | sys::CUBLAS_STATUS_NOT_SUPPORTED => {
                CudaErrorCode::Unsupported
            }
            _ => CudaErrorCode::Failed,
        };
        let name = text(self.functions.cublasLtGetStatusName, status)
            .unwrap_or_else(|| format!("cuBLAS status {status}"));
        let message = text(self.functions.cublasLtGetStatusString, status)
            .unwrap_or_else(|| "the library has no text for it".to_owned());
        Err(CudaError { code, function, name, message })
    }
}

fn text(function: unsafe extern "C" fn(Status) -> *const c_char, status: Status) -> Option<String> {
    // SAFETY: no condition.
    let text = unsafe { function(status) };
    // SAFETY: one of the library's constant texts, or null.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
}

/// One of the library's opaque descriptions, destroyed when dropped.
pub(super) struct Description<'a> {
    pub handle: Handle,
    api: &'a Api,
    destroy: unsafe extern "C" fn(Handle) -> Status,
}

impl<'a> Description<'a> {
    /// A product of float32 sums with A transposed.
    pub fn product(api: &'a Api) -> Result<Self, CudaError> {
        let mut handle = std::ptr::null_mut();
        let (compute, scale) = (sys::CUBLAS_COMPUTE_32F, sys::CUDA_R_32F);
        // SAFETY: writes one handle.
        unsafe { call!(api, cublasLtMatmulDescCreate(&mut handle, compute, scale)) }?;
        let destroy = api.functions.cublasLtMatmulDescDestroy;
        let product = Description { handle, api, destroy };
        product.set_product(sys::CUBLASLT_MATMUL_DESC_TRANSA, &sys::CUBLAS_OP_T)?;
        Ok(product)
    }

    /// Sets an attribute of a product, of the type that the header gives it.
    pub fn set_product<T>(&self, attribute: c_int, value: &T) -> Result<(), CudaError> {
        let pointer: *const c_void = std::ptr::from_ref(value).cast();
        let api = self.api;
        let bytes = size_of::<T>();
        // SAFETY: a live description of a product; reads the value.
        unsafe {
            call!(api, cublasLtMatmulDescSetAttribute(self.handle, attribute, pointer, bytes))
        }
    }

    /// A matrix whose columns are `leading` elements apart.
    pub fn matrix(
        api: &'a Api,
        element_type: c_int,
        rows: usize,
        columns: usize,
        leading: usize,
    ) -> Result<Self, CudaError> {
        let mut handle = std::ptr::null_mut();
        let (rows, columns, leading) = (rows as u64, columns as u64, leading as i64);
        // SAFETY: writes one handle.
        unsafe {
            call!(
                api,
                cublasLtMatrixLayoutCreate(&mut handle, element_type, rows, columns, leading)
            )
        }?;
        Ok(Description { handle, api, destroy: api.functions.cublasLtMatrixLayoutDestroy })
    }

    /// What an algorithm must be like.
    pub fn preference(api: &'a Api) -> Result<Self, CudaError> {
        let mut handle = std::ptr::null_mut();
        // SAFETY: writes one handle.
        unsafe { call!(api, cublasLtMatmulPreferenceCreate(&mut handle)) }?;
        Ok(Description { handle, api, destroy: api.functions.cublasLtMatmulPreferenceDestroy })
    }

    /// Sets an attribute of a preference, of the type that the header gives it.
    pub fn set_preference<T>(&self, attribute: c_int, value: &T) -> Result<(), CudaError> {
        let pointer: *const c_void = std::ptr::from_ref(value).cast();
        let api = self.api;
        let bytes = size_of::<T>();
        // SAFETY: a live preference; reads the value.
        unsafe {
            call!(api, cublasLtMatmulPreferenceSetAttribute(self.handle, attribute, pointer, bytes))
        }
    }
}

impl Drop for Description<'_> {
    fn drop(&mut self) {
        // Memory of the host alone; there is nothing to be told.
        // SAFETY: created by the function's counterpart, destroyed once.
        let _ = unsafe { (self.destroy)(self.handle) };
    }
}
