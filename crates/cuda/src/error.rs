//! What can go wrong on a device, as facts.

use std::fmt;

/// The kind of a [`CudaError`]. Names are stable: callers tell errors apart by them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CudaErrorCode {
    /// No NVIDIA driver could be opened, or none that works.
    NoDriver,
    /// There is a driver, but no device, or none of that number.
    NoDevice,
    /// Neither the device nor the memory that it shares with the host has that much left.
    OutOfMemory,
    /// The device, the driver or a library lacks what was asked of it, or there is no such library.
    Unsupported,
    /// Anything else that the driver or a library refused or broke off.
    Failed,
}

impl CudaErrorCode {
    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoDriver => "noDriver",
            Self::NoDevice => "noDevice",
            Self::OutOfMemory => "outOfMemory",
            Self::Unsupported => "unsupported",
            Self::Failed => "failed",
        }
    }
}

/// A call to the driver, or to a library of NVIDIA's, that was refused or failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CudaError {
    /// The kind.
    pub code: CudaErrorCode,
    /// The function that reported it: `cuMemAllocFromPoolAsync`, `dlopen`.
    pub function: &'static str,
    /// What NVIDIA calls the error: `CUDA_ERROR_OUT_OF_MEMORY`. Empty where it was refused before
    /// NVIDIA's code saw it.
    pub name: String,
    /// What happened, with which values, and what to do about it.
    pub message: String,
}

impl CudaError {
    /// A refusal of this crate's own, before NVIDIA's code was called.
    pub(crate) fn refused(
        code: CudaErrorCode,
        function: &'static str,
        message: impl Into<String>,
    ) -> CudaError {
        CudaError { code, function, name: String::new(), message: message.into() }
    }

    /// The same error with what was being done in front of its message.
    pub(crate) fn while_doing(mut self, what: impl fmt::Display) -> CudaError {
        self.message = format!("{what}: {}", self.message);
        self
    }
}

impl fmt::Display for CudaError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: ", self.function)?;
        if !self.name.is_empty() {
            write!(formatter, "{}: ", self.name)?;
        }
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for CudaError {}

/// A number of bytes for a message: `1.50 GiB`, `512 B`.
pub(crate) fn binary_size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.2} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_function_the_cuda_name_and_the_message() {
        let error = CudaError {
            code: CudaErrorCode::Failed,
            function: "cuInit",
            name: "CUDA_ERROR_UNKNOWN".into(),
            message: "unknown error".into(),
        };
        assert_eq!(error.to_string(), "cuInit: CUDA_ERROR_UNKNOWN: unknown error");
        let error = CudaError::refused(CudaErrorCode::NoDevice, "cuDeviceGet", "no device 3");
        assert_eq!(error.while_doing("opening").to_string(), "cuDeviceGet: opening: no device 3");
    }

    #[test]
    fn sizes_are_told_in_the_largest_unit_that_they_reach() {
        assert_eq!(binary_size(0), "0 B");
        assert_eq!(binary_size(1023), "1023 B");
        assert_eq!(binary_size(1536), "1.50 KiB");
        assert_eq!(binary_size(80 << 30), "80.00 GiB");
        assert_eq!(binary_size(u64::MAX), "16777216.00 TiB");
    }
}
