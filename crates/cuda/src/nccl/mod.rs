//! Collectives between GPUs by NCCL, one rank for each GPU.
//!
//! Communicators are non-blocking: a call may answer that it is in progress, and is then asked for
//! until it is done, an error comes, or the deadline passes. So a rank that never comes, or that
//! dies, is an error and never a hang. After an error the communicator is aborted, and every later
//! call answers with that error.
//!
//! NCCL chooses by itself in which order it adds: sums over ranks are the same bytes from run to run
//! only for one machine, one version and one number of ranks.

mod collectives;
mod communicator;
mod error;
mod progress;
mod sys;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;

pub use collectives::{Group, Reduction};
pub use communicator::Communicator;
pub use error::{NcclError, NcclErrorCode};

use crate::libraries::{Library, LibraryKind, SearchPaths};
use crate::table::Symbols;
use std::ffi::{CStr, c_int};
use std::path::Path;
use std::sync::Arc;
use sys::{CommunicatorHandle, Functions, Status, UniqueIdBytes};

/// What ranks find each other by: one makes it, all have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UniqueId(pub [u8; 128]);

/// NCCL in this process.
pub struct Nccl {
    functions: Functions,
    version: (u32, u32, u32),
    /// Kept open, with its functions in use; `None` for functions that came from elsewhere.
    library: Option<Library>,
}

/// Calls one of the library's functions and checks what it answers. Unsafe as that function is.
macro_rules! call {
    ($nccl:expr, $communicator:expr, $function:ident($($argument:expr),* $(,)?)) => {
        $nccl.check(
            stringify!($function),
            $communicator,
            ($nccl.functions.$function)($($argument),*),
        )
    };
}
use call;

impl Nccl {
    /// Opens the library where it is found.
    ///
    /// # Errors
    ///
    /// `NoLibrary` with what was tried, or where it is older than version 2.18.
    pub fn open() -> Result<Arc<Nccl>, NcclError> {
        let kind = LibraryKind::Nccl;
        let paths = SearchPaths::from_environment();
        let library = paths.open(kind, None, |_| Ok(())).map_err(|tried| NcclError {
            code: NcclErrorCode::NoLibrary,
            function: "dlopen",
            name: String::new(),
            message: format!("no NCCL: {tried}; {}", kind.how_to_get_it()),
        })?;
        // SAFETY: it is NCCL of version 2, whose header gives these signatures.
        unsafe { Nccl::load(&|name| library.symbol(name), Some(library.clone())) }
    }

    /// A library of functions that are in this process already, such as a test's.
    ///
    /// # Safety
    ///
    /// What `symbol` gives for a name is a function of the signature that `nccl.h` gives that name,
    /// keeps that function's contract, and stays for the rest of the process.
    ///
    /// # Errors
    ///
    /// As [`Nccl::open`]; `NoLibrary` names every function that is missing.
    pub unsafe fn with_symbols(symbol: Symbols) -> Result<Arc<Nccl>, NcclError> {
        // SAFETY: the caller vouches for the functions.
        unsafe { Nccl::load(symbol, None) }
    }

    /// # Safety
    ///
    /// As [`Nccl::with_symbols`], for as long as `library` is open.
    unsafe fn load(symbol: Symbols, library: Option<Library>) -> Result<Arc<Nccl>, NcclError> {
        // SAFETY: the caller vouches for the functions.
        let functions = unsafe { Functions::load(symbol) }.map_err(|missing| NcclError {
            code: NcclErrorCode::NoLibrary,
            function: "dlsym",
            name: String::new(),
            message: format!("NCCL lacks {}: version 2.18 is the oldest", missing.join(", ")),
        })?;
        let mut nccl = Nccl { functions, version: (0, 0, 0), library };
        let mut version: c_int = 0;
        // SAFETY: writes one number.
        unsafe { call!(nccl, NO_COMMUNICATOR, ncclGetVersion(&mut version)) }?;
        let version = u32::try_from(version).unwrap_or(0);
        nccl.version = (version / 10_000, version / 100 % 100, version % 100);
        Ok(Arc::new(nccl))
    }

    /// The library's version, as (major, minor, patch).
    pub fn version(&self) -> (u32, u32, u32) {
        self.version
    }

    /// The library's file; `None` for [`Nccl::with_symbols`].
    pub fn path(&self) -> Option<&Path> {
        self.library.as_ref().map(Library::path)
    }

    /// An identity for a new communicator, made by one of its ranks and sent to the others. That
    /// rank listens for them from now on.
    ///
    /// # Errors
    ///
    /// What NCCL says, such as that no network interface can be used.
    pub fn unique_id(&self) -> Result<UniqueId, NcclError> {
        let mut id = UniqueIdBytes([0; 128]);
        // SAFETY: writes one identity.
        unsafe { call!(self, NO_COMMUNICATOR, ncclGetUniqueId(&mut id)) }?;
        Ok(UniqueId(id.0))
    }

    fn check(
        &self,
        function: &'static str,
        communicator: CommunicatorHandle,
        status: Status,
    ) -> Result<(), NcclError> {
        if status == sys::NCCL_SUCCESS {
            return Ok(());
        }
        // SAFETY: no condition; a constant text.
        let kind = unsafe { (self.functions.ncclGetErrorString)(status) };
        // SAFETY: a live communicator or none; the text of this thread's last error.
        let last = unsafe { (self.functions.ncclGetLastError)(communicator) };
        let text = |pointer: *const std::ffi::c_char| {
            if pointer.is_null() {
                return String::new();
            }
            // SAFETY: a text of the library's, which stays until its next call.
            unsafe { CStr::from_ptr(pointer) }.to_string_lossy().trim().to_owned()
        };
        let (kind, last) = (text(kind), text(last));
        let message = if last.is_empty() { kind } else { format!("{kind}: {last}") };
        Err(NcclError {
            code: NcclErrorCode::of(status),
            function,
            name: error::name_of(status),
            message,
        })
    }
}

/// For calls that are of no communicator.
const NO_COMMUNICATOR: CommunicatorHandle = std::ptr::null_mut();
