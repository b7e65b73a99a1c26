//! What of CUDA this machine has.

use super::{Library, LibraryKind, SearchPaths, Tried};
use crate::cudnn;
use crate::device::DeviceTraits;
use crate::driver::{Driver, Refusal};
use crate::error::{CudaError, CudaErrorCode};
use std::ffi::c_int;
use std::path::PathBuf;
use std::sync::Arc;

/// Everything that a report about a machine's CUDA tells.
#[derive(Clone, Debug)]
pub struct CudaSurvey {
    /// The driver and its devices.
    pub driver: DriverSurvey,
    /// The libraries beside the driver, each found or not.
    pub libraries: Vec<(LibraryKind, LibrarySurvey)>,
}

/// What there is of a driver.
#[derive(Clone, Debug)]
pub enum DriverSurvey {
    /// No file of a driver was found.
    Missing {
        /// What was tried, and what to do.
        message: String,
    },
    /// There is a driver's file, but it can't be opened, or can't be initialised.
    Broken {
        /// What failed, and what to do.
        message: String,
    },
    /// The driver works and knows of no device.
    NoDevice {
        /// What to look at.
        message: String,
    },
    /// The driver works, and has devices.
    Works {
        /// The file; `None` for functions that came from elsewhere.
        path: Option<PathBuf>,
        /// The newest version of CUDA that it supports.
        version: (u32, u32),
        /// Each of its devices, or why the driver can't tell of it.
        devices: Vec<Result<DeviceSurvey, CudaError>>,
    },
}

/// A device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceSurvey {
    /// The number that it is chosen by.
    pub index: usize,
    /// What NVIDIA calls it.
    pub name: String,
    /// The compute capability, as (major, minor).
    pub compute_capability: (u32, u32),
    /// How many streaming multiprocessors it has.
    pub multiprocessors: u32,
    /// Bytes of its memory.
    pub total_memory: u64,
    /// Whether memory is handed out in stream order, which is much the faster way.
    pub memory_pools: bool,
}

/// What there is of a library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LibrarySurvey {
    /// It opens.
    Found {
        /// The file.
        path: PathBuf,
        /// What it says of itself: `13.3.0`.
        version: String,
    },
    /// No file of it was found.
    Missing {
        /// Where it was looked for.
        tried: Tried,
        /// What to do.
        how_to_get_it: &'static str,
    },
    /// There is a file, but it can't be used.
    Broken {
        /// What was tried, with each one's reason.
        tried: Tried,
        /// What to do.
        how_to_get_it: &'static str,
    },
}

/// Looks for everything of CUDA on this machine. Opens what it finds, makes no context.
pub fn survey() -> CudaSurvey {
    let paths = SearchPaths::from_environment();
    survey_of(&paths, Driver::open_in(&paths))
}

/// The survey of a driver that was opened, or not, and of the libraries in `paths`.
pub(crate) fn survey_of(paths: &SearchPaths, driver: Result<Arc<Driver>, Refusal>) -> CudaSurvey {
    let version = driver.as_ref().ok().map(|driver| driver.version());
    let libraries = LibraryKind::ALL
        .into_iter()
        .filter(|kind| *kind != LibraryKind::Driver)
        .map(|kind| (kind, library(paths, kind, version)))
        .collect();
    CudaSurvey { driver: of_driver(driver), libraries }
}

fn of_driver(driver: Result<Arc<Driver>, Refusal>) -> DriverSurvey {
    let counted = driver.and_then(|driver| match driver.device_count() {
        Ok(count) => Ok((driver, count)),
        Err(error) => Err(Refusal { error, found: true }),
    });
    match counted {
        Ok((_, 0)) => DriverSurvey::NoDevice { message: "the driver knows of no device".into() },
        Ok((driver, count)) => DriverSurvey::Works {
            path: driver.path().map(ToOwned::to_owned),
            version: driver.version(),
            devices: (0..count).map(|index| of_device(&driver, index)).collect(),
        },
        Err(Refusal { error, found }) => {
            let message = error.to_string();
            match error.code {
                CudaErrorCode::NoDevice => DriverSurvey::NoDevice { message },
                _ if found => DriverSurvey::Broken { message },
                _ => DriverSurvey::Missing { message },
            }
        }
    }
}

fn of_device(driver: &Driver, index: usize) -> Result<DeviceSurvey, CudaError> {
    let traits = DeviceTraits::of(driver, index)?;
    Ok(DeviceSurvey {
        index,
        name: traits.name,
        compute_capability: traits.compute_capability,
        multiprocessors: traits.multiprocessors,
        total_memory: traits.total_memory,
        memory_pools: traits.memory_pools,
    })
}

fn library(paths: &SearchPaths, kind: LibraryKind, driver: Option<(u32, u32)>) -> LibrarySurvey {
    let how_to_get_it = kind.how_to_get_it();
    let accept = |library: &Library| match kind {
        LibraryKind::Cudnn => cudnn::accept(paths, driver, library),
        _ => Ok(()),
    };
    match paths.open(kind, driver, accept) {
        Ok(library) => {
            LibrarySurvey::Found { path: library.path().to_owned(), version: version(&library) }
        }
        Err(tried) if tried.found_a_file() => LibrarySurvey::Broken { tried, how_to_get_it },
        Err(tried) => LibrarySurvey::Missing { tried, how_to_get_it },
    }
}

/// What a library says of its version, which it may be asked without a device.
fn version(library: &Library) -> String {
    let unknown = || "unknown".to_owned();
    let Some(address) = library.symbol(library.kind().telling_symbol()) else { return unknown() };
    let number = match library.kind() {
        LibraryKind::Driver => return unknown(),
        LibraryKind::CublasLt | LibraryKind::Cudnn => {
            // SAFETY: cublasLt.h and cudnn_graph.h give the function this signature.
            let get: unsafe extern "C" fn() -> usize = unsafe { std::mem::transmute(address) };
            // SAFETY: no condition.
            unsafe { get() }
        }
        LibraryKind::Nccl => {
            // SAFETY: nccl.h gives the function this signature.
            let get: unsafe extern "C" fn(*mut c_int) -> c_int =
                unsafe { std::mem::transmute(address) };
            let mut number = 0;
            // SAFETY: writes one number.
            if unsafe { get(&mut number) } != 0 {
                return unknown();
            }
            usize::try_from(number).unwrap_or(0)
        }
    };
    // All three write major, minor and patch as 10000, 100 and 1 since their present majors.
    format!("{}.{}.{}", number / 10_000, number / 100 % 100, number % 100)
}
