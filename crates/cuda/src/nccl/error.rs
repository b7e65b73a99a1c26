//! What can go wrong between GPUs, as facts.

use super::sys::*;
use crate::error::CudaError;
use std::fmt;

/// The kind of an [`NcclError`]. Names are stable: callers tell errors apart by them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NcclErrorCode {
    /// No NCCL could be opened, or none that is new enough.
    NoLibrary,
    /// The other ranks did not come to a call in time.
    Deadline,
    /// The communicator was called off.
    CalledOff,
    /// Another rank, or the network between, failed.
    Remote,
    /// Arguments that NCCL doesn't take, such as two ranks on one GPU.
    Usage,
    /// A call of the system's failed: network, shared memory.
    System,
    /// The CUDA driver refused or failed.
    Cuda,
    /// Anything else.
    Failed,
}

impl NcclErrorCode {
    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoLibrary => "noLibrary",
            Self::Deadline => "deadline",
            Self::CalledOff => "calledOff",
            Self::Remote => "remote",
            Self::Usage => "usage",
            Self::System => "system",
            Self::Cuda => "cuda",
            Self::Failed => "failed",
        }
    }

    pub(super) fn of(status: Status) -> NcclErrorCode {
        match status {
            NCCL_UNHANDLED_CUDA_ERROR => Self::Cuda,
            NCCL_SYSTEM_ERROR => Self::System,
            NCCL_INVALID_ARGUMENT | NCCL_INVALID_USAGE => Self::Usage,
            NCCL_REMOTE_ERROR => Self::Remote,
            NCCL_TIMEOUT => Self::Deadline,
            _ => Self::Failed,
        }
    }
}

/// The header's name of a result, which the library itself can't tell.
pub(super) fn name_of(status: Status) -> String {
    match status {
        NCCL_UNHANDLED_CUDA_ERROR => "ncclUnhandledCudaError".to_owned(),
        NCCL_SYSTEM_ERROR => "ncclSystemError".to_owned(),
        NCCL_INTERNAL_ERROR => "ncclInternalError".to_owned(),
        NCCL_INVALID_ARGUMENT => "ncclInvalidArgument".to_owned(),
        NCCL_INVALID_USAGE => "ncclInvalidUsage".to_owned(),
        NCCL_REMOTE_ERROR => "ncclRemoteError".to_owned(),
        NCCL_IN_PROGRESS => "ncclInProgress".to_owned(),
        NCCL_TIMEOUT => "ncclTimeout".to_owned(),
        _ => format!("NCCL result {status}"),
    }
}

/// A call to NCCL that was refused or failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NcclError {
    /// The kind.
    pub code: NcclErrorCode,
    /// The function that reported it: `ncclCommInitRankConfig`.
    pub function: &'static str,
    /// What NCCL, or CUDA, calls the error: `ncclSystemError`. Empty where it was refused before.
    pub name: String,
    /// What happened, with which values, and what to do about it.
    pub message: String,
}

impl NcclError {
    /// A refusal of this crate's own, of arguments that NCCL wouldn't take.
    pub(super) fn usage(function: &'static str, message: impl Into<String>) -> NcclError {
        let (code, message) = (NcclErrorCode::Usage, message.into());
        NcclError { code, function, name: String::new(), message }
    }

    /// The same error with who has it in front of its message.
    pub(super) fn of_rank(mut self, rank: usize, size: usize) -> NcclError {
        self.message = format!("rank {rank} of {size}: {}", self.message);
        self
    }
}

impl fmt::Display for NcclError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: ", self.function)?;
        if !self.name.is_empty() {
            write!(formatter, "{}: ", self.name)?;
        }
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for NcclError {}

impl From<CudaError> for NcclError {
    fn from(error: CudaError) -> NcclError {
        let CudaError { function, name, message, .. } = error;
        NcclError { code: NcclErrorCode::Cuda, function, name, message }
    }
}
