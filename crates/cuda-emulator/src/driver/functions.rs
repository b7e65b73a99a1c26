//! How functions of the driver are declared.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::errors::remember;
use super::status::{Answer, Failure, Status};

/// Declares functions of the driver, exported under their names, and `find`, which looks one up.
macro_rules! functions {
    ($(
        $(#[doc = $doc:literal])+
        fn $name:ident($($argument:ident: $type:ty),* $(,)?) $body:block
    )+) => {
        $(
            $(#[doc = $doc])+
            ///
            /// # Safety
            /// Pointers must be what CUDA's documentation of the function says.
            #[unsafe(no_mangle)]
            #[allow(non_snake_case, reason = "the name that cuda.h gives it")]
            pub unsafe extern "C" fn $name($($argument: $type),*) -> $crate::driver::status::Status {
                $crate::driver::functions::answer(stringify!($name), || $body)
            }
        )+

        /// The function of that name.
        pub fn find(name: &str) -> Option<*const std::ffi::c_void> {
            $(
                if name == stringify!($name) {
                    return Some($name as *const std::ffi::c_void);
                }
            )+
            None
        }
    };
}

pub(super) use functions;

/// Runs a function of the driver. A panic inside is answered, not unwound into C.
pub fn answer(function: &str, body: impl FnOnce() -> Answer) -> Status {
    let outcome = catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied());
        let message = format!("the emulator itself failed: {}", text.unwrap_or("a panic"));
        Err(Failure::new(Status::UNKNOWN, message))
    });
    match outcome {
        Ok(()) => Status::SUCCESS,
        Err(failure) => {
            remember(function, &failure);
            failure.status
        }
    }
}

/// Writes a result.
///
/// # Safety
/// `target` must be null, or point to writable memory for a `T`.
pub unsafe fn put<T>(target: *mut T, value: T) -> Answer {
    if target.is_null() {
        return Err(Failure::new(Status::INVALID_VALUE, "the pointer for the result is null"));
    }
    // SAFETY: not null, so the caller vouches for it.
    unsafe { target.write(value) };
    Ok(())
}
