//! Finding NVIDIA's driver and libraries on this machine.

mod library;
mod python;
mod search;
mod survey;
#[cfg(test)]
mod tests;

pub use library::Library;
pub use search::{Attempt, SearchPaths, Tried};
pub use survey::{CudaSurvey, DeviceSurvey, DriverSurvey, LibrarySurvey, survey};

use std::ffi::CStr;

/// The environment variable that names the driver's file.
pub const DRIVER_VARIABLE: &str = "WAN_CUDA_DRIVER";
/// The environment variable that lists folders of NVIDIA's libraries, searched before all others.
pub const LIBRARIES_VARIABLE: &str = "WAN_CUDA_LIBRARIES";

/// A library of NVIDIA's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LibraryKind {
    /// `libcuda`: comes with the kernel module, by the system's package or installer.
    Driver,
    /// Matrix products with epilogues.
    CublasLt,
    /// Attention and convolutions.
    Cudnn,
    /// Collectives between GPUs.
    Nccl,
}

impl LibraryKind {
    /// All that a device can use, the driver first.
    pub const ALL: [LibraryKind; 4] = [Self::Driver, Self::CublasLt, Self::Cudnn, Self::Nccl];

    /// The name in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Driver => "NVIDIA's driver",
            Self::CublasLt => "cuBLASLt",
            Self::Cudnn => "cuDNN",
            Self::Nccl => "NCCL",
        }
    }

    /// What to do where it is missing.
    pub const fn how_to_get_it(self) -> &'static str {
        match self {
            Self::Driver => {
                "install the system's driver package (nvidia-driver; on WSL the Windows driver)"
            }
            Self::CublasLt => {
                "install the CUDA toolkit, or pip install nvidia-cublas (for a driver of CUDA 13) \
                 or nvidia-cublas-cu12, in an environment that is active, or whose folder of \
                 libraries WAN_CUDA_LIBRARIES names"
            }
            Self::Cudnn => {
                "pip install nvidia-cudnn-cu13 or nvidia-cudnn-cu12, in an environment that is \
                 active, or whose folder of libraries WAN_CUDA_LIBRARIES names"
            }
            Self::Nccl => {
                "pip install nvidia-nccl-cu13 or nvidia-nccl-cu12, in an environment that is \
                 active, or whose folder of libraries WAN_CUDA_LIBRARIES names"
            }
        }
    }

    /// What only this library exports.
    const fn telling_symbol(self) -> &'static CStr {
        match self {
            Self::Driver => c"cuInit",
            Self::CublasLt => c"cublasLtGetVersion",
            Self::Cudnn => c"cudnnGetVersion",
            Self::Nccl => c"ncclGetVersion",
        }
    }

    /// File names, the newest first: those whose interface this crate knows, with the major
    /// version of CUDA that they are made for, where they are made for one.
    const fn files(self) -> &'static [(&'static str, Option<u32>)] {
        match self {
            Self::Driver => &[("libcuda.so.1", None)],
            Self::CublasLt => &[("libcublasLt.so.13", Some(13)), ("libcublasLt.so.12", Some(12))],
            Self::Cudnn => &[("libcudnn.so.9", None)],
            Self::Nccl => &[("libnccl.so.2", None)],
        }
    }
}
