//! Asking calls that are in progress whether they are done.

use super::error::{NcclError, NcclErrorCode};
use super::sys::{self, CommunicatorHandle, Config, Status};
use super::{NO_COMMUNICATOR, Nccl, call};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long to sleep between two questions whether a call is done, and after how many without sleep.
const NAP: Duration = Duration::from_micros(100);
const QUESTIONS_WITHOUT_NAP: u32 = 64;

/// How long to wait for a call that is in progress.
#[derive(Clone, Copy)]
pub(super) struct Patience<'a> {
    /// A moment at which it has lasted too long.
    pub until: Instant,
    /// Whether somebody else has ended it.
    pub called_off: &'a AtomicBool,
}

impl Patience<'_> {
    /// Refuses to wait any longer for `what`, which has been waited for since `begin`.
    pub(super) fn check(&self, what: &'static str, begin: Instant) -> Result<(), NcclError> {
        if self.called_off.load(Ordering::Acquire) {
            return Err(called_off(what));
        }
        if Instant::now() >= self.until {
            return Err(late(what, self.until.saturating_duration_since(begin)));
        }
        Ok(())
    }
}

/// Where NCCL writes a communicator, at any time until it says that it is done.
pub(super) type Place = Box<CommunicatorHandle>;

impl Nccl {
    /// Whether a communicator has done what it was asked to.
    pub(super) fn progress(
        &self,
        handle: CommunicatorHandle,
        function: &'static str,
    ) -> Result<bool, NcclError> {
        let mut status = sys::NCCL_SUCCESS;
        // SAFETY: a live communicator; writes one number.
        unsafe { call!(self, handle, ncclCommGetAsyncError(handle, &mut status)) }?;
        if status == sys::NCCL_IN_PROGRESS {
            return Ok(false);
        }
        self.check(function, handle, status).map(|()| true)
    }

    /// Waits until it has.
    pub(super) fn wait_for(
        &self,
        handle: CommunicatorHandle,
        function: &'static str,
        patience: Patience<'_>,
    ) -> Result<(), NcclError> {
        let begin = Instant::now();
        let mut questions = 0;
        while !self.progress(handle, function)? {
            patience.check(function, begin)?;
            pause(&mut questions);
        }
        Ok(())
    }

    /// What a call within a group answered: nothing of it happens before the group's end.
    pub(super) fn added(
        &self,
        function: &'static str,
        handle: CommunicatorHandle,
        status: Status,
    ) -> Result<(), NcclError> {
        match status {
            sys::NCCL_IN_PROGRESS => Ok(()),
            _ => self.check(function, handle, status),
        }
    }

    pub(super) fn abort(&self, handle: &mut CommunicatorHandle) {
        let handle = std::mem::replace(handle, NO_COMMUNICATOR);
        if handle != NO_COMMUNICATOR {
            // A failure of giving up changes nothing for the caller, who has the reason.
            // SAFETY: a live communicator, which nobody has any more.
            let _ = unsafe { (self.functions.ncclCommAbort)(handle) };
        }
    }
}

/// Waits until a communicator is made, of ranks that come together or of a `parent` that splits;
/// gives none where a split left this rank out.
pub(super) fn settle(
    nccl: &Nccl,
    parent: CommunicatorHandle,
    place: Place,
    function: &'static str,
    status: Status,
    patience: Patience<'_>,
) -> Result<CommunicatorHandle, NcclError> {
    let made = match status {
        // A child is written once its parent is done, ranks that come together before.
        sys::NCCL_IN_PROGRESS if parent != NO_COMMUNICATOR => {
            nccl.wait_for(parent, function, patience)
        }
        sys::NCCL_IN_PROGRESS => wait_for_place(&place, function, patience),
        _ => nccl.check(function, parent, status),
    };
    let made = made.and_then(|()| match read(&place) {
        NO_COMMUNICATOR => Ok(()),
        handle => nccl.wait_for(handle, function, patience),
    });
    match made {
        Ok(()) => Ok(read(&place)),
        Err(error) => {
            nccl.abort(&mut read(&place));
            if matches!(error.code, NcclErrorCode::Deadline | NcclErrorCode::CalledOff) {
                // It may still be written.
                Box::leak(place);
            }
            Err(error)
        }
    }
}

/// NCCL writes there from a thread of its own.
fn read(place: &Place) -> CommunicatorHandle {
    // SAFETY: the box is there; an address is written in one piece.
    unsafe { std::ptr::from_ref::<CommunicatorHandle>(place).read_volatile() }
}

fn wait_for_place(
    place: &Place,
    function: &'static str,
    patience: Patience<'_>,
) -> Result<(), NcclError> {
    let begin = Instant::now();
    let mut questions = 0;
    while read(place) == NO_COMMUNICATOR {
        patience.check(function, begin)?;
        pause(&mut questions);
    }
    Ok(())
}

/// Non-blocking, the rest as NCCL chooses.
pub(super) fn configuration() -> Config {
    Config {
        size: size_of::<Config>(),
        magic: sys::NCCL_API_MAGIC,
        version: sys::CONFIG_VERSION,
        blocking: 0,
        cga_cluster_size: sys::NCCL_CONFIG_UNDEF_INT,
        min_ctas: sys::NCCL_CONFIG_UNDEF_INT,
        max_ctas: sys::NCCL_CONFIG_UNDEF_INT,
        net_name: std::ptr::null(),
        split_share: sys::NCCL_CONFIG_UNDEF_INT,
    }
}

pub(super) fn pause(questions: &mut u32) {
    *questions = questions.saturating_add(1);
    if *questions > QUESTIONS_WITHOUT_NAP {
        std::thread::sleep(NAP);
    } else {
        std::thread::yield_now();
    }
}

/// A call, or a communicator, that was called off.
pub(super) fn called_off(function: &'static str) -> NcclError {
    let message = "called off, since the run has failed elsewhere".to_owned();
    NcclError { code: NcclErrorCode::CalledOff, function, name: String::new(), message }
}

pub(super) fn late(what: &str, waited: Duration) -> NcclError {
    NcclError {
        code: NcclErrorCode::Deadline,
        function: "ncclCommGetAsyncError",
        name: "ncclInProgress".to_owned(),
        message: format!(
            "{what}: not done within {:.1} s, since another rank doesn't come or doesn't get on",
            waited.as_secs_f64()
        ),
    }
}
