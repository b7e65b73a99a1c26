//! cuDNN found and opened, and its calls, checked.

use super::sys::{self, Functions, Status};
use crate::error::{CudaError, CudaErrorCode};
use crate::libraries::{Library, LibraryKind, SearchPaths};
use crate::table::Symbols;
use std::ffi::{CStr, c_char};
use std::path::Path;

/// The oldest version with attention as one operation that serves every device.
const OLDEST: Version = Version { major: 9, minor: 13, patch: 1 };

/// A version of cuDNN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// 9.
    pub major: usize,
    /// Its features.
    pub minor: usize,
    /// Its corrections.
    pub patch: usize,
}

impl Version {
    /// Of what `cudnnGetVersion` answers.
    fn of(number: usize) -> Version {
        Version { major: number / 10_000, minor: number / 100 % 100, patch: number % 100 }
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// cuDNN in this process, without a device.
pub struct CudnnLibrary {
    functions: Functions,
    version: Version,
    /// Kept open, with its functions in use; `None` for functions that came from elsewhere.
    library: Option<Library>,
}

/// Calls one of the library's functions and checks what it answers. Unsafe as that function is.
macro_rules! call {
    ($library:expr, $function:ident($($argument:expr),* $(,)?)) => {
        $library.check(stringify!($function), ($library.functions().$function)($($argument),*))
    };
}
pub(super) use call;

impl CudnnLibrary {
    /// Opens the first library that serves attention with a driver of that version; with none, with
    /// any driver. Makes no context.
    ///
    /// # Errors
    ///
    /// `Unsupported` with what was tried and why each wouldn't do: absent, older than 9.13.1, made
    /// for a newer CUDA than the driver's, or without the cuBLASLt that it needs.
    pub fn open(driver: Option<(u32, u32)>) -> Result<CudnnLibrary, CudaError> {
        let paths = SearchPaths::from_environment();
        let kind = LibraryKind::Cudnn;
        let library = paths.open(kind, driver, |library| accept(&paths, driver, library)).map_err(
            |tried| {
                let message = format!("no cuDNN that serves: {tried}; {}", kind.how_to_get_it());
                CudaError::refused(CudaErrorCode::Unsupported, "dlopen", message)
            },
        )?;
        // SAFETY: it is cuDNN of a version whose header gives these signatures.
        let mut opened = unsafe { CudnnLibrary::with_symbols(&|name| library.symbol(name)) }?;
        opened.library = Some(library);
        Ok(opened)
    }

    /// A library of functions that are in this process already, such as a test's.
    ///
    /// # Safety
    ///
    /// What `symbol` gives for a name is a function of the signature that `cudnn_graph.h` gives that
    /// name, keeps that function's contract, and stays for the rest of the process.
    ///
    /// # Errors
    ///
    /// `Unsupported` names every function that is missing.
    pub unsafe fn with_symbols(symbol: Symbols) -> Result<CudnnLibrary, CudaError> {
        // SAFETY: the caller vouches for the functions.
        let functions = unsafe { Functions::load(symbol) }.map_err(|missing| {
            let message = format!("cuDNN lacks {}: {OLDEST} is the oldest", missing.join(", "));
            CudaError::refused(CudaErrorCode::Unsupported, "dlsym", message)
        })?;
        // SAFETY: no condition.
        let version = Version::of(unsafe { (functions.cudnnGetVersion)() });
        Ok(CudnnLibrary { functions, version, library: None })
    }

    /// Its version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Its file; `None` for [`CudnnLibrary::with_symbols`].
    pub fn path(&self) -> Option<&Path> {
        self.library.as_ref().map(Library::path)
    }

    pub(super) fn functions(&self) -> &Functions {
        &self.functions
    }

    pub(super) fn check(&self, function: &'static str, status: Status) -> Result<(), CudaError> {
        if status == sys::CUDNN_STATUS_SUCCESS {
            return Ok(());
        }
        // SAFETY: no condition; a constant text, or null.
        let name = unsafe { (self.functions.cudnnGetErrorString)(status) };
        let name = match name.is_null() {
            true => format!("cuDNN status {status}"),
            // SAFETY: as above.
            false => unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned(),
        };
        let message = match self.last_error() {
            text if text.is_empty() => "the library says no more".to_owned(),
            text => text,
        };
        Err(CudaError { code: code_of(status), function, name, message })
    }

    /// What the library says of this thread's last failure.
    fn last_error(&self) -> String {
        let mut text = [0u8; 2048];
        let room = text.len();
        // SAFETY: writes at most that many bytes, a zero among them.
        unsafe {
            (self.functions.cudnnGetLastErrorString)(text.as_mut_ptr().cast::<c_char>(), room)
        };
        let text = CStr::from_bytes_until_nul(&text).unwrap_or_default();
        text.to_string_lossy().trim().to_owned()
    }
}

fn code_of(status: Status) -> CudaErrorCode {
    match status {
        sys::CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED
        | sys::CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED => CudaErrorCode::OutOfMemory,
        sys::CUDNN_STATUS_NOT_SUPPORTED..sys::CUDNN_STATUS_INTERNAL_ERROR => {
            CudaErrorCode::Unsupported
        }
        _ => CudaErrorCode::Failed,
    }
}

/// Why a library can't be used, if it can't.
///
/// cuDNN opens cuBLASLt by its bare name when it first makes a plan, and ends the process where that
/// fails. So it is opened here, from wherever it is, and then is what the name stands for.
pub(crate) fn accept(
    paths: &SearchPaths,
    driver: Option<(u32, u32)>,
    library: &Library,
) -> Result<(), String> {
    let version = Version::of(number(library, c"cudnnGetVersion")?);
    let cuda = number(library, c"cudnnGetCudartVersion")? / 1000;
    serves(version, cuda, driver)?;
    let fits = |candidate: &Library| match number(candidate, c"cublasLtGetVersion")? / 10_000 {
        major if major == cuda => Ok(()),
        major => Err(format!("is for CUDA {major}")),
    };
    match paths.open(LibraryKind::CublasLt, driver, fits) {
        Ok(_) => Ok(()),
        Err(tried) => Err(format!("needs cuBLASLt of CUDA {cuda}: {tried}")),
    }
}

/// Whether a version that is made for a major version of CUDA serves with that driver.
fn serves(version: Version, cuda: usize, driver: Option<(u32, u32)>) -> Result<(), String> {
    if version < OLDEST {
        return Err(format!("is version {version}: attention as one operation needs {OLDEST}"));
    }
    match driver {
        Some((major, minor)) if cuda > major as usize => {
            Err(format!("is for CUDA {cuda}, and the driver knows up to CUDA {major}.{minor}"))
        }
        _ => Ok(()),
    }
}

/// What a library answers by a function that takes nothing.
fn number(library: &Library, name: &CStr) -> Result<usize, String> {
    let address =
        library.symbol(name).ok_or_else(|| format!("lacks {}", name.to_string_lossy()))?;
    // SAFETY: cudnn_graph.h and cublasLt.h give the functions of these names this signature.
    let get: unsafe extern "C" fn() -> usize = unsafe { std::mem::transmute(address) };
    // SAFETY: no condition.
    Ok(unsafe { get() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_in_order() {
        let (old, first, later) = (Version::of(91_002), Version::of(91_301), Version::of(92_600));
        assert_eq!(old.to_string(), "9.10.2");
        assert_eq!(first, OLDEST);
        assert!(old < first && first < later && Version::of(91_300) < first);
    }

    #[test]
    fn libraries_that_are_too_old_or_too_new_for_the_driver_are_told_why() {
        let (old, new) = (Version::of(91_300), Version::of(92_600));
        assert_eq!(
            serves(old, 12, None),
            Err("is version 9.13.0: attention as one operation needs 9.13.1".into())
        );
        assert_eq!(
            serves(new, 13, Some((12, 8))),
            Err("is for CUDA 13, and the driver knows up to CUDA 12.8".into())
        );
        for (cuda, driver) in [(12, Some((12, 0))), (12, Some((13, 0))), (13, None)] {
            assert_eq!(serves(new, cuda, driver), Ok(()));
        }
    }

    #[test]
    fn statuses_are_sorted_by_their_thousands() {
        assert_eq!(code_of(3000), CudaErrorCode::Unsupported);
        assert_eq!(code_of(3007), CudaErrorCode::Unsupported);
        assert_eq!(code_of(4004), CudaErrorCode::OutOfMemory);
        for other in [1001, 2000, 4000, 5001] {
            assert_eq!(code_of(other), CudaErrorCode::Failed);
        }
    }
}
