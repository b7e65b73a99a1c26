//! The first fault of a run, which ends it for all ranks.

use super::segment::Segment;
use std::sync::atomic::Ordering;

/// The kinds of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FaultKind {
    /// The rank's process ended without saying that it was done.
    Died = 1,
    /// The rank gives no sign of life, or makes no progress within a collective.
    Stopped,
    /// The rank reported a failure of its own.
    Failed,
    /// The rank did not come to a collective in time.
    Late,
}

/// The first fault of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What happened.
    pub kind: FaultKind,
    /// To which rank.
    pub rank: usize,
}

impl Fault {
    /// The fault of the run, if there is one yet.
    pub(crate) fn read(segment: &Segment) -> Option<Fault> {
        let word = segment.header().fault.load(Ordering::Acquire);
        let kind = [FaultKind::Died, FaultKind::Stopped, FaultKind::Failed, FaultKind::Late]
            .into_iter()
            .find(|kind| *kind as u64 == word & 0xff)?;
        Some(Fault { kind, rank: (word >> 8) as usize })
    }

    /// Makes this the fault of the run, unless there is one; returns the one that counts.
    pub(crate) fn declare(self, segment: &Segment) -> Fault {
        let word = self.kind as u64 | (self.rank as u64) << 8;
        let fault = &segment.header().fault;
        let first = fault.compare_exchange(0, word, Ordering::AcqRel, Ordering::Acquire);
        if first.is_ok() { self } else { Fault::read(segment).unwrap_or(self) }
    }
}
