//! What of CUDA there is on this machine, for reports.

use cuda::libraries::{DeviceSurvey, DriverSurvey, LibraryKind, LibrarySurvey};
use cuda::{CudaError, survey};
use napi_derive::napi;

/// What of CUDA this machine has.
#[napi(object, object_from_js = false)]
pub struct NativeCudaSurvey {
    /// The driver and its devices.
    pub driver: NativeDriverSurvey,
    /// The libraries beside the driver.
    pub libraries: Vec<NativeLibrarySurvey>,
}

/// What there is of a driver.
#[napi(object, object_from_js = false)]
pub struct NativeDriverSurvey {
    /// `works`, `noDevice`, `broken` or `missing`.
    pub state: &'static str,
    /// What is wrong and what to do, unless it works.
    pub message: Option<String>,
    /// Its file.
    pub path: Option<String>,
    /// The newest version of CUDA that it supports.
    pub version: Option<String>,
    /// Its devices, in the order of their numbers.
    pub devices: Vec<NativeDeviceSurvey>,
}

/// A device, or why the driver can't tell of it.
#[napi(object, object_from_js = false)]
pub struct NativeDeviceSurvey {
    /// As the driver calls it.
    pub name: Option<String>,
    /// Such as `9.0`.
    pub compute_capability: Option<String>,
    /// Of its processor.
    pub multiprocessors: Option<f64>,
    /// Of its memory.
    pub total_bytes: Option<f64>,
    /// Why the driver can't tell of it.
    pub problem: Option<String>,
}

/// What there is of a library.
#[napi(object, object_from_js = false)]
pub struct NativeLibrarySurvey {
    /// As messages call it.
    pub name: &'static str,
    /// `found`, `broken` or `missing`.
    pub state: &'static str,
    /// Its file.
    pub path: Option<String>,
    /// What it says of itself.
    pub version: Option<String>,
    /// What was tried in vain.
    pub tried: Option<String>,
    /// What to do where it can't be used.
    pub how_to_get_it: Option<&'static str>,
}

/// Looks for the driver, its devices and NVIDIA's libraries.
#[napi(catch_unwind)]
pub fn survey_cuda() -> NativeCudaSurvey {
    let found = survey();
    NativeCudaSurvey {
        driver: found.driver.into(),
        libraries: found.libraries.into_iter().map(Into::into).collect(),
    }
}

impl From<DriverSurvey> for NativeDriverSurvey {
    fn from(driver: DriverSurvey) -> Self {
        let without_devices = |state, message| NativeDriverSurvey {
            state,
            message: Some(message),
            path: None,
            version: None,
            devices: Vec::new(),
        };
        match driver {
            DriverSurvey::Missing { message } => without_devices("missing", message),
            DriverSurvey::Broken { message } => without_devices("broken", message),
            DriverSurvey::NoDevice { message } => without_devices("noDevice", message),
            DriverSurvey::Works { path, version: (major, minor), devices } => NativeDriverSurvey {
                state: "works",
                message: None,
                path: path.map(|path| path.display().to_string()),
                version: Some(format!("{major}.{minor}")),
                devices: devices.into_iter().map(Into::into).collect(),
            },
        }
    }
}

impl From<std::result::Result<DeviceSurvey, CudaError>> for NativeDeviceSurvey {
    fn from(device: std::result::Result<DeviceSurvey, CudaError>) -> Self {
        match device {
            Ok(device) => {
                let (major, minor) = device.compute_capability;
                NativeDeviceSurvey {
                    name: Some(device.name),
                    compute_capability: Some(format!("{major}.{minor}")),
                    multiprocessors: Some(f64::from(device.multiprocessors)),
                    total_bytes: Some(device.total_memory as f64),
                    problem: None,
                }
            }
            Err(error) => NativeDeviceSurvey {
                name: None,
                compute_capability: None,
                multiprocessors: None,
                total_bytes: None,
                problem: Some(error.to_string()),
            },
        }
    }
}

impl From<(LibraryKind, LibrarySurvey)> for NativeLibrarySurvey {
    fn from((kind, library): (LibraryKind, LibrarySurvey)) -> Self {
        let absent = |state, tried: String, how_to_get_it| NativeLibrarySurvey {
            name: kind.name(),
            state,
            path: None,
            version: None,
            tried: Some(tried),
            how_to_get_it: Some(how_to_get_it),
        };
        match library {
            LibrarySurvey::Found { path, version } => NativeLibrarySurvey {
                name: kind.name(),
                state: "found",
                path: Some(path.display().to_string()),
                version: Some(version),
                tried: None,
                how_to_get_it: None,
            },
            LibrarySurvey::Missing { tried, how_to_get_it } => {
                absent("missing", tried.to_string(), how_to_get_it)
            }
            LibrarySurvey::Broken { tried, how_to_get_it } => {
                absent("broken", tried.to_string(), how_to_get_it)
            }
        }
    }
}
