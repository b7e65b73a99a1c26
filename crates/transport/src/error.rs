//! What can go wrong between ranks, as facts.

use std::fmt;

/// The kind of a [`TransportError`]. Names are stable: callers tell errors apart by them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorCode {
    /// Members called different collectives, or the same one with other sizes or types.
    Mismatch,
    /// A rank's process ended without saying that it was done.
    PeerDied,
    /// A rank gives no sign of life, or doesn't get on with a collective that it entered.
    PeerStopped,
    /// A rank reported a failure of its own.
    PeerFailed,
    /// A rank said that it was done while others still wait for it.
    PeerFinished,
    /// A rank lives but did not come to a collective in time.
    Deadline,
    /// An argument that the collective doesn't take.
    Argument,
    /// The rank's part of the shared memory is full.
    OutOfSharedMemory,
    /// The caller called the collective off.
    Cancelled,
    /// The system refused.
    System,
    /// The ranks can't come together: a missing or doubled one, or another version.
    StartUp,
    /// The ranks are planned alone: there are no others.
    Planned,
}

impl ErrorCode {
    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mismatch => "mismatch",
            Self::PeerDied => "peerDied",
            Self::PeerStopped => "peerStopped",
            Self::PeerFailed => "peerFailed",
            Self::PeerFinished => "peerFinished",
            Self::Deadline => "deadline",
            Self::Argument => "argument",
            Self::OutOfSharedMemory => "outOfSharedMemory",
            Self::Cancelled => "cancelled",
            Self::System => "system",
            Self::StartUp => "startUp",
            Self::Planned => "planned",
        }
    }
}

/// A collective that was refused or failed.
#[derive(Clone, Debug, PartialEq)]
pub struct TransportError {
    /// The kind.
    pub code: ErrorCode,
    /// The rank, of the whole run, that tells of it.
    pub rank: usize,
    /// The rank, of the whole run, at fault or disagreed with, where there is one.
    pub peer: Option<usize>,
    /// The collective's name; empty outside of one.
    pub collective: &'static str,
    /// The collective's number within its group; 0 outside of one.
    pub sequence: u64,
    /// How long the collective had been under way.
    pub seconds_waited: f64,
    /// What was expected; for a mismatch, this rank's descriptor.
    pub expected: String,
    /// What was found; for a mismatch, the peer's descriptor.
    pub found: String,
}

impl TransportError {
    /// An error outside of a collective.
    pub fn new(
        code: ErrorCode,
        rank: usize,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> TransportError {
        TransportError {
            code,
            rank,
            peer: None,
            collective: "",
            sequence: 0,
            seconds_waited: 0.0,
            expected: expected.into(),
            found: found.into(),
        }
    }

    /// The same error about rank `peer`.
    pub fn about(mut self, peer: usize) -> TransportError {
        self.peer = Some(peer);
        self
    }

    /// What the system says about the last call of `call`.
    pub(crate) fn system(rank: usize, call: &str) -> TransportError {
        let cause = std::io::Error::last_os_error();
        TransportError::new(ErrorCode::System, rank, "", format!("{call}: {cause}"))
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rank, collective, sequence, seconds_waited, expected, found, .. } = self;
        write!(f, "rank {rank}: ")?;
        if !collective.is_empty() {
            write!(f, "{collective} #{sequence}: ")?;
        }
        let peer = self.peer.map_or_else(String::new, |peer| format!("rank {peer}"));
        match self.code {
            ErrorCode::Mismatch => {
                write!(f, "the ranks disagree: rank {rank} has {expected}, {peer} has {found}")
            }
            ErrorCode::PeerDied => {
                write!(f, "{peer} died {found}; waited {seconds_waited:.1} s")
            }
            ErrorCode::PeerStopped => {
                write!(f, "{peer} gives no sign of life {found}; waited {seconds_waited:.1} s")
            }
            ErrorCode::PeerFailed => {
                write!(f, "{peer} failed: {found}")
            }
            ErrorCode::PeerFinished => {
                write!(f, "{peer} was done already {found}; waited {seconds_waited:.1} s")
            }
            ErrorCode::Deadline => write!(
                f,
                "{peer} did not come within {expected}, and is {found}; waited {seconds_waited:.1} s"
            ),
            ErrorCode::Argument => write!(f, "{found}, but must be {expected}"),
            ErrorCode::OutOfSharedMemory => {
                write!(f, "no shared memory for {found}: {expected}")
            }
            ErrorCode::Cancelled => write!(f, "cancelled"),
            ErrorCode::System => write!(f, "{found}"),
            ErrorCode::Planned => write!(f, "{found}, and can't run: {expected}"),
            ErrorCode::StartUp => write!(f, "{found}; {expected}"),
        }
    }
}

impl std::error::Error for TransportError {}
