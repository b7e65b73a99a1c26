//! Calling work off.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A flag that operations are submitted under. Cancelling it skips those that have not run, cuts
/// the running one short, and fails their outputs.
#[derive(Clone, Default)]
pub struct CancelToken {
    cancelled: Arc<AtomicBool>,
}

impl CancelToken {
    /// A token that is not cancelled.
    pub fn new() -> CancelToken {
        CancelToken::default()
    }

    /// Whether [`crate::Stream::cancel`] was called with this token.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is(&self, other: &CancelToken) -> bool {
        Arc::ptr_eq(&self.cancelled, &other.cancelled)
    }
}
