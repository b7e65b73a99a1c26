//! What functions answer.

use driver_in_use::DriverFailure;
use std::cell::RefCell;
use std::ffi::{CString, c_int};

/// `ncclResult_t`.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub c_int);

impl Status {
    /// `ncclSuccess`.
    pub const SUCCESS: Status = Status(0);
    /// `ncclUnhandledCudaError`.
    pub const CUDA: Status = Status(1);
    /// `ncclSystemError`.
    pub const SYSTEM: Status = Status(2);
    /// `ncclInvalidArgument`.
    pub const ARGUMENT: Status = Status(4);
    /// `ncclInvalidUsage`.
    pub const USAGE: Status = Status(5);
    /// `ncclRemoteError`.
    pub const REMOTE: Status = Status(6);
    /// `ncclInProgress`.
    pub const IN_PROGRESS: Status = Status(7);
}

/// A failure: what a function answers, and in words.
#[derive(Clone, Debug)]
pub struct Failure {
    pub status: Status,
    pub message: String,
}

impl Failure {
    pub fn new(status: Status, message: impl Into<String>) -> Failure {
        Failure { status, message: message.into() }
    }
}

impl From<DriverFailure> for Failure {
    fn from(DriverFailure(message): DriverFailure) -> Failure {
        Failure { status: Status::CUDA, message }
    }
}

thread_local! {
    static LAST: RefCell<CString> = RefCell::default();
}

/// Keeps a failure's words for `ncclGetLastError` of this thread.
pub fn answer(outcome: Result<Status, Failure>) -> Status {
    match outcome {
        Ok(status) => status,
        Err(failure) => {
            remember(&failure.message);
            failure.status
        }
    }
}

pub fn remember(message: &str) {
    let text = CString::new(message.replace('\0', " ")).unwrap_or_default();
    LAST.with(|last| *last.borrow_mut() = text);
}

/// The thread's last failure; the text stays until its next one.
pub fn last() -> *const std::ffi::c_char {
    LAST.with(|last| last.borrow().as_ptr())
}
