//! What is known of a rank's life, and of the fault that ends a run.

use super::shared::Identity;
use crate::error::{ErrorCode, TransportError};
use std::time::Duration;

/// How far a rank has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
#[repr(u8)]
pub(super) enum Life {
    /// At work.
    Running,
    /// It has done its whole work.
    Done,
    /// It knows that all have, and says no more.
    Gone,
}

impl Life {
    pub(super) fn from_number(number: u64) -> Life {
        match number {
            0 => Life::Running,
            1 => Life::Done,
            _ => Life::Gone,
        }
    }
}

/// The kinds of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum FaultKind {
    /// The rank's process ended without saying that it was done.
    Died = 1,
    /// The rank gives no sign of life.
    Stopped,
    /// The rank reported a failure of its own.
    Failed,
    /// The rank found members of a group to disagree; they find it themselves.
    Disagreed,
    /// The rank did not come to a collective in time.
    Late,
}

impl FaultKind {
    pub(super) fn from_number(number: u64) -> Option<FaultKind> {
        [Self::Died, Self::Stopped, Self::Failed, Self::Disagreed, Self::Late]
            .into_iter()
            .find(|kind| *kind as u64 == number)
    }
}

/// What ended a run.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fault {
    pub kind: FaultKind,
    pub rank: usize,
    /// Where the rank was, or what it said of its failure.
    pub found: String,
}

impl Fault {
    /// The fault as an error of collective `name`, number `sequence`, of this rank.
    pub(super) fn error(
        &self,
        identity: &Identity,
        name: &'static str,
        sequence: u64,
        waited: Duration,
    ) -> TransportError {
        let (code, expected) = match self.kind {
            FaultKind::Died => (ErrorCode::PeerDied, String::new()),
            FaultKind::Stopped => (ErrorCode::PeerStopped, String::new()),
            FaultKind::Failed | FaultKind::Disagreed => (ErrorCode::PeerFailed, String::new()),
            FaultKind::Late => {
                let deadline = identity.settings.deadline.as_secs_f64();
                (ErrorCode::Deadline, format!("{deadline:.1} s"))
            }
        };
        TransportError {
            peer: Some(self.rank),
            collective: name,
            sequence,
            seconds_waited: waited.as_secs_f64(),
            ..TransportError::new(code, identity.rank, expected, self.found.clone())
        }
    }
}
