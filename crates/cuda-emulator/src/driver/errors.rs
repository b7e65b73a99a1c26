//! What went wrong, in words.

use std::cell::RefCell;
use std::ffi::{CString, c_char};
use std::sync::{Mutex, PoisonError};

use super::functions::{functions, put};
use super::status::{Failure, Status};

thread_local! {
    /// This thread's last failure and its text, which C holds a pointer to.
    static LAST: RefCell<Option<(Status, CString)>> = const { RefCell::new(None) };
}

static LAST_OF_ALL: Mutex<Option<String>> = Mutex::new(None);

/// What failed last in this process: the function, the error's name and what happened, with
/// kernel, block, thread, line of PTX and address where a kernel failed.
pub fn last_error() -> Option<String> {
    LAST_OF_ALL.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Keeps what happened for [`last_error`] and for `cuGetErrorString` on this thread.
pub fn remember(function: &str, failure: &Failure) {
    let name = failure.status.texts().map_or("", |(name, _)| name.to_str().unwrap_or(""));
    let text = format!("{function}: {name}: {}", failure.message);
    *LAST_OF_ALL.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
    let message = failure.message.replace('\0', " ");
    if let Ok(message) = CString::new(message) {
        LAST.with_borrow_mut(|last| *last = Some((failure.status, message)));
    }
}

functions! {
    /// The name of an error.
    fn cuGetErrorName(error: Status, name: *mut *const c_char) {
        let texts = error.texts();
        // SAFETY: the caller's pointer.
        unsafe { put(name, texts.map_or(std::ptr::null(), |(name, _)| name.as_ptr())) }?;
        match texts {
            Some(_) => Ok(()),
            None => Err(Failure::new(Status::INVALID_VALUE, format!("no error {}", error.0))),
        }
    }

    /// What an error is. Where a call of this thread failed with it last, what happened then; the
    /// text stays until the thread's next failure.
    fn cuGetErrorString(error: Status, string: *mut *const c_char) {
        let text = LAST.with_borrow(|last| match last {
            Some((status, message)) if *status == error => Some(message.as_ptr()),
            _ => error.texts().map(|(_, text)| text.as_ptr()),
        });
        // SAFETY: the caller's pointer.
        unsafe { put(string, text.unwrap_or(std::ptr::null())) }?;
        match text {
            Some(_) => Ok(()),
            None => Err(Failure::new(Status::INVALID_VALUE, format!("no error {}", error.0))),
        }
    }
}
