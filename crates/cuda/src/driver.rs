//! The driver, opened, and its calls, checked.

use crate::error::{CudaError, CudaErrorCode};
use crate::libraries::{DRIVER_VARIABLE, Library, LibraryKind, SearchPaths};
use crate::sys::{self, DriverFunctions, IpcFunctions, PoolFunctions, Status};
use crate::sys::{PartUuidFunctions, TensorMapFunctions, UuidFunctions};
use crate::table::Symbols;
use std::ffi::{CStr, c_char};
use std::path::Path;
use std::sync::Arc;

/// NVIDIA's driver in this process, initialised.
pub struct Driver {
    pub(crate) functions: DriverFunctions,
    /// `None` for a driver older than CUDA 11.2.
    pub(crate) pools: Option<PoolFunctions>,
    pub(crate) ipc: Option<IpcFunctions>,
    /// `None` for a driver older than CUDA 12.
    pub(crate) tensor_maps: Option<TensorMapFunctions>,
    pub(crate) uuids: Option<UuidFunctions>,
    pub(crate) part_uuids: Option<PartUuidFunctions>,
    version: (u32, u32),
    /// Kept open, with its functions in use; `None` for functions that came from elsewhere.
    library: Option<Library>,
}

/// Why there is no driver.
pub(crate) struct Refusal {
    pub error: CudaError,
    /// Whether there is a driver's file all the same.
    pub found: bool,
}

impl Driver {
    /// Opens the system's driver: the file that `WAN_CUDA_DRIVER` names, otherwise `libcuda.so.1`
    /// as the loader finds it, or where drivers put it.
    ///
    /// # Errors
    ///
    /// `NoDriver` with what was tried and why each failed, `NoDevice` where the driver knows of no
    /// device, `Failed` where it can't be initialised.
    pub fn open() -> Result<Arc<Driver>, CudaError> {
        Driver::open_in(&SearchPaths::from_environment()).map_err(|refusal| refusal.error)
    }

    pub(crate) fn open_in(paths: &SearchPaths) -> Result<Arc<Driver>, Refusal> {
        let library = paths.open(LibraryKind::Driver, None, |library| {
            // SAFETY: the library is NVIDIA's driver, or a stand-in that its user vouches for.
            unsafe { DriverFunctions::load(&|name| library.symbol(name)) }
                .map(drop)
                .map_err(|missing| lacks(&missing))
        });
        let library = library.map_err(|tried| {
            let how = LibraryKind::Driver.how_to_get_it();
            let message =
                format!("no NVIDIA driver: {tried}; {how}, or name its file in {DRIVER_VARIABLE}");
            let error = CudaError::refused(CudaErrorCode::NoDriver, "dlopen", message);
            Refusal { error, found: tried.found_a_file() }
        })?;
        // SAFETY: as above; the library is kept open.
        unsafe { Driver::load(&|name| library.symbol(name), Some(library.clone())) }
            .map_err(|error| Refusal { error, found: true })
    }

    /// A driver of functions that are in this process already, such as an emulator's.
    ///
    /// `symbol` gives the function for each of the driver's names (`cuInit`, `cuMemAlloc_v2`).
    ///
    /// # Safety
    ///
    /// What `symbol` gives for a name is a function of the signature that NVIDIA's `cuda.h` gives
    /// that name, keeps that function's contract, and stays for the rest of the process.
    ///
    /// # Errors
    ///
    /// As [`Driver::open`]; `NoDriver` names every function that is missing.
    pub unsafe fn with_symbols(symbol: Symbols) -> Result<Arc<Driver>, CudaError> {
        // SAFETY: the caller vouches for the functions.
        unsafe { Driver::load(symbol, None) }
    }

    /// # Safety
    ///
    /// As [`Driver::with_symbols`], for as long as `library` is open.
    unsafe fn load(symbol: Symbols, library: Option<Library>) -> Result<Arc<Driver>, CudaError> {
        // SAFETY: the caller vouches for the functions.
        let functions = unsafe { DriverFunctions::load(symbol) }.map_err(|missing| {
            CudaError::refused(
                CudaErrorCode::NoDriver,
                "dlsym",
                format!("the driver {}", lacks(&missing)),
            )
        })?;
        let mut driver = Driver {
            functions,
            // SAFETY: the caller vouches for the functions.
            pools: unsafe { PoolFunctions::load(symbol) }.ok(),
            // SAFETY: as above.
            ipc: unsafe { IpcFunctions::load(symbol) }.ok(),
            // SAFETY: as above.
            tensor_maps: unsafe { TensorMapFunctions::load(symbol) }.ok(),
            // SAFETY: as above.
            uuids: unsafe { UuidFunctions::load(symbol) }.ok(),
            // SAFETY: as above.
            part_uuids: unsafe { PartUuidFunctions::load(symbol) }.ok(),
            version: (0, 0),
            library,
        };
        let mut version = 0;
        // SAFETY: writes one number; may be called before cuInit.
        unsafe { call!(driver, cuDriverGetVersion(&mut version)) }?;
        // cuda.h: 1000 times the major version and 10 times the minor.
        driver.version = (version as u32 / 1000, version as u32 % 1000 / 10);
        // SAFETY: no condition.
        unsafe { call!(driver, cuInit(0)) }.map_err(|error| driver.not_initialised(error))?;
        Ok(Arc::new(driver))
    }

    fn not_initialised(&self, error: CudaError) -> CudaError {
        let (major, minor) = self.version;
        let driver = format!("the driver (CUDA {major}.{minor}) can't be initialised");
        let hint = match error.code {
            CudaErrorCode::NoDevice => {
                "it knows of no device: see whether nvidia-smi lists one, whether \
                 CUDA_VISIBLE_DEVICES hides it, and whether a container was given it"
            }
            CudaErrorCode::NoDriver => "install the driver of this machine",
            _ => "see what nvidia-smi says",
        };
        let mut error = error.while_doing(driver);
        error.message = format!("{}; {hint}", error.message);
        error
    }

    /// The newest version of CUDA that the driver supports, as (major, minor).
    pub fn version(&self) -> (u32, u32) {
        self.version
    }

    /// The file that the driver's functions come from; `None` for [`Driver::with_symbols`].
    pub fn path(&self) -> Option<&Path> {
        self.library.as_ref().map(Library::path)
    }

    /// How many devices there are.
    ///
    /// # Errors
    ///
    /// Where the driver fails.
    pub fn device_count(&self) -> Result<usize, CudaError> {
        let mut count = 0;
        // SAFETY: writes one number.
        unsafe { call!(self, cuDeviceGetCount(&mut count)) }?;
        Ok(usize::try_from(count).unwrap_or(0))
    }

    /// `Ok` for success, otherwise the error with the driver's own words.
    pub(crate) fn check(&self, function: &'static str, status: Status) -> Result<(), CudaError> {
        if status == sys::CUDA_SUCCESS {
            return Ok(());
        }
        let code = match status {
            sys::CUDA_ERROR_OUT_OF_MEMORY => CudaErrorCode::OutOfMemory,
            sys::CUDA_ERROR_STUB_LIBRARY | sys::CUDA_ERROR_SYSTEM_DRIVER_MISMATCH => {
                CudaErrorCode::NoDriver
            }
            sys::CUDA_ERROR_NO_DEVICE | sys::CUDA_ERROR_INVALID_DEVICE => CudaErrorCode::NoDevice,
            sys::CUDA_ERROR_NO_BINARY_FOR_GPU
            | sys::CUDA_ERROR_UNSUPPORTED_PTX_VERSION
            | sys::CUDA_ERROR_NOT_SUPPORTED => CudaErrorCode::Unsupported,
            _ => CudaErrorCode::Failed,
        };
        let name = self.text(self.functions.cuGetErrorName, status);
        let mut message = self
            .text(self.functions.cuGetErrorString, status)
            .unwrap_or_else(|| "the driver has no text for it".to_owned());
        if ends_context(status) {
            message.push_str(
                "; work submitted earlier failed with this, and the device takes none any more \
                 from this process",
            );
        }
        let name = name.unwrap_or_else(|| format!("CUDA error {status}"));
        Err(CudaError { code, function, name, message })
    }

    fn text(
        &self,
        function: unsafe extern "C" fn(Status, *mut *const c_char) -> Status,
        status: Status,
    ) -> Option<String> {
        let mut text = std::ptr::null();
        // SAFETY: writes one pointer, null for a number that the driver doesn't know.
        let found = unsafe { function(status, &mut text) };
        if found != sys::CUDA_SUCCESS || text.is_null() {
            return None;
        }
        // SAFETY: one of the driver's constant texts.
        Some(unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
    }
}

fn lacks(missing: &[&str]) -> String {
    format!("lacks {}: it is too old (CUDA 9 is the oldest), or no driver", missing.join(", "))
}

/// Whether the driver answers every later call with this error too, cuda.h says of which.
fn ends_context(status: Status) -> bool {
    matches!(
        status,
        sys::CUDA_ERROR_ECC_UNCORRECTABLE
            | sys::CUDA_ERROR_ILLEGAL_ADDRESS
            | sys::CUDA_ERROR_LAUNCH_TIMEOUT
            | sys::CUDA_ERROR_ASSERT
            | sys::CUDA_ERROR_HARDWARE_STACK_ERROR
            | sys::CUDA_ERROR_ILLEGAL_INSTRUCTION
            | sys::CUDA_ERROR_MISALIGNED_ADDRESS
            | sys::CUDA_ERROR_INVALID_ADDRESS_SPACE
            | sys::CUDA_ERROR_INVALID_PC
            | sys::CUDA_ERROR_LAUNCH_FAILED
    )
}

/// Calls one of the driver's functions and checks what it answers. Unsafe as that function is.
macro_rules! call {
    ($driver:expr, $function:ident($($argument:expr),* $(,)?)) => {
        call!($driver, $driver.functions, $function($($argument),*))
    };
    ($driver:expr, $table:expr, $function:ident($($argument:expr),* $(,)?)) => {
        $driver.check(stringify!($function), ($table.$function)($($argument),*))
    };
}
pub(crate) use call;
