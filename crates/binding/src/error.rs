//! Errors as data.

use napi::{Error, Status};
use serde_json::json;
use tensor_runtime::{ErrorCode, RuntimeError};

/// A [`RuntimeError`] as an error whose message is `{code, operation, argument, expected, found}`.
pub fn from_runtime(error: RuntimeError) -> Error {
    let status = match error.code {
        ErrorCode::Shape | ErrorCode::DType | ErrorCode::Argument | ErrorCode::Device => {
            Status::InvalidArg
        }
        ErrorCode::Cancelled => Status::Cancelled,
        ErrorCode::OutOfMemory | ErrorCode::Cuda | ErrorCode::Collective | ErrorCode::Internal => {
            Status::GenericFailure
        }
    };
    let facts = json!({
        "code": error.code.name(),
        "operation": error.operation,
        "argument": error.argument,
        "expected": error.expected,
        "found": error.found,
        "message": error.to_string(),
    });
    Error::new(status, facts.to_string())
}

/// A refused argument that never reached an operation.
pub fn argument(
    operation: &'static str,
    name: &str,
    expected: impl Into<String>,
    found: impl std::fmt::Display,
) -> Error {
    from_runtime(RuntimeError::argument(operation, name, expected, found))
}
