//! What can go wrong with a tensor operation, as facts.

use std::fmt;

/// The kind of a [`RuntimeError`]. Names are stable: the TypeScript side tells errors apart by them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// A shape that the operation doesn't take.
    Shape,
    /// An element type that the operation doesn't take.
    DType,
    /// Any other argument out of range.
    Argument,
    /// The system gave no memory.
    OutOfMemory,
    /// A device that isn't there, or tensors on different ones.
    Device,
    /// The CUDA driver or one of its libraries failed.
    Cuda,
    /// The work was called off.
    Cancelled,
    /// A collective failed: `found` is the whole message, and the group has the facts.
    Collective,
    /// A fault of this library: a kernel panicked.
    Internal,
}

impl ErrorCode {
    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            ErrorCode::Shape => "shape",
            ErrorCode::DType => "dtype",
            ErrorCode::Argument => "argument",
            ErrorCode::OutOfMemory => "outOfMemory",
            ErrorCode::Device => "device",
            ErrorCode::Cuda => "cuda",
            ErrorCode::Cancelled => "cancelled",
            ErrorCode::Collective => "collective",
            ErrorCode::Internal => "internal",
        }
    }
}

/// A refused or failed operation: which one, which argument, what it wanted and what it got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeError {
    /// The kind.
    pub code: ErrorCode,
    /// The operation, as it is called on the TypeScript side.
    pub operation: &'static str,
    /// The argument at fault; empty where none is.
    pub argument: String,
    /// What the operation takes.
    pub expected: String,
    /// What it got.
    pub found: String,
}

impl RuntimeError {
    /// An error of kind `code`.
    pub fn new(
        code: ErrorCode,
        operation: &'static str,
        argument: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> RuntimeError {
        RuntimeError {
            code,
            operation,
            argument: argument.into(),
            expected: expected.into(),
            found: found.into(),
        }
    }

    /// A shape refused.
    pub fn shape(
        operation: &'static str,
        argument: &str,
        expected: impl Into<String>,
        found: &[usize],
    ) -> RuntimeError {
        RuntimeError::new(ErrorCode::Shape, operation, argument, expected, format!("{found:?}"))
    }

    /// An element type refused.
    pub fn dtype(
        operation: &'static str,
        argument: &str,
        expected: impl Into<String>,
        found: crate::DType,
    ) -> RuntimeError {
        RuntimeError::new(ErrorCode::DType, operation, argument, expected, found.name())
    }

    /// Another argument refused.
    pub fn argument(
        operation: &'static str,
        argument: &str,
        expected: impl Into<String>,
        found: impl fmt::Display,
    ) -> RuntimeError {
        RuntimeError::new(ErrorCode::Argument, operation, argument, expected, found.to_string())
    }
}

impl fmt::Display for RuntimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            ErrorCode::Shape | ErrorCode::DType | ErrorCode::Argument => write!(
                f,
                "{}: {} must be {}, but is {}",
                self.operation, self.argument, self.expected, self.found
            ),
            ErrorCode::Device if !self.expected.is_empty() => write!(
                f,
                "{}: {} must be {}, but is {}",
                self.operation, self.argument, self.expected, self.found
            ),
            ErrorCode::Device | ErrorCode::Cuda => write!(f, "{}: {}", self.operation, self.found),
            ErrorCode::OutOfMemory => {
                write!(f, "{}: no memory for {}", self.operation, self.found)
            }
            ErrorCode::Cancelled => write!(f, "{}: cancelled", self.operation),
            ErrorCode::Collective => f.write_str(&self.found),
            ErrorCode::Internal => {
                write!(f, "{}: a fault of wan-ts, please report it: {}", self.operation, self.found)
            }
        }
    }
}

impl std::error::Error for RuntimeError {}
