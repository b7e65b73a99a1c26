//! What functions answer.

use driver_in_use::DriverFailure;
use std::cell::RefCell;
use std::ffi::{CStr, c_char, c_int};

/// `cudnnStatus_t`.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub c_int);

impl Status {
    pub const SUCCESS: Status = Status(0);
    pub const BAD_PARAM: Status = Status(2000);
    pub const NULL_POINTER: Status = Status(2002);
    pub const MISALIGNED_POINTER: Status = Status(2003);
    pub const NOT_FINALIZED: Status = Status(2004);
    pub const SHAPE_MISMATCH: Status = Status(2008);
    pub const ATTRIBUTE_TYPE: Status = Status(2010);
    pub const DESCRIPTOR_TYPE: Status = Status(2012);
    pub const NOT_SUPPORTED: Status = Status(3000);
    pub const CUDA_DRIVER: Status = Status(5001);

    /// What the header calls it.
    pub fn name(self) -> &'static CStr {
        match self {
            Status::SUCCESS => c"CUDNN_STATUS_SUCCESS",
            Status::BAD_PARAM => c"CUDNN_STATUS_BAD_PARAM",
            Status::NULL_POINTER => c"CUDNN_STATUS_BAD_PARAM_NULL_POINTER",
            Status::MISALIGNED_POINTER => c"CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER",
            Status::NOT_FINALIZED => c"CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED",
            Status::SHAPE_MISMATCH => c"CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH",
            Status::ATTRIBUTE_TYPE => c"CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE",
            Status::DESCRIPTOR_TYPE => c"CUDNN_STATUS_BAD_PARAM_DESCRIPTOR_TYPE",
            Status::NOT_SUPPORTED => c"CUDNN_STATUS_NOT_SUPPORTED",
            Status::CUDA_DRIVER => c"CUDNN_STATUS_EXECUTION_FAILED_CUDA_DRIVER",
            _ => c"an unknown status",
        }
    }
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
        Failure { status: Status::CUDA_DRIVER, message }
    }
}

thread_local! {
    static LAST: RefCell<String> = RefCell::default();
}

/// Keeps a failure's words for `cudnnGetLastErrorString` of this thread.
pub fn answer(outcome: Result<(), Failure>) -> Status {
    match outcome {
        Ok(()) => Status::SUCCESS,
        Err(failure) => {
            LAST.set(failure.message.replace('\0', " "));
            failure.status
        }
    }
}

/// Writes the thread's last failure, which is then forgotten, as far as there is room.
///
/// # Safety
/// The place has so many bytes.
pub unsafe fn last(place: *mut c_char, room: usize) {
    let text = LAST.take();
    let bytes = text.len().min(room.saturating_sub(1));
    if place.is_null() || room == 0 {
        return;
    }
    // SAFETY: the caller's place; one byte is left for the end.
    unsafe {
        std::ptr::copy_nonoverlapping(text.as_ptr(), place.cast(), bytes);
        place.add(bytes).write(0);
    }
}
