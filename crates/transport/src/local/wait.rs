//! Waiting for another rank, without hanging.

use super::connection::Connection;
use super::control::{RankBlock, state};
use super::fault::{Fault, FaultKind};
use super::futex::{Word, reached};
use super::segment::Segment;
use crate::descriptor::OperationKind;
use crate::error::{ErrorCode, TransportError};
use crate::whereabouts::Place;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// A sleeper looks round this often for faults; arrivals wake it at once.
const SLICE: Duration = Duration::from_millis(20);
/// About what a sleep and a wake cost: spinning for longer can't win.
const SPIN: Duration = Duration::from_micros(60);
const SPINS_PER_LOOK: usize = 64;

/// What a peer is waited for to do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// Come to the collective; it may be busy with something else before.
    Entered,
    /// Get on with a collective that it has entered.
    Advanced,
}

/// A collective under way, for those that wait in it.
pub(crate) struct Wait<'a> {
    pub connection: &'a Connection,
    pub kind: OperationKind,
    pub sequence: u64,
    pub began: Instant,
    /// Whether to spin before sleeping.
    pub spin: bool,
    pub interrupted: &'a dyn Fn() -> bool,
}

impl Wait<'_> {
    /// Returns once `word`, which rank `peer` advances, has come to `target`.
    pub(crate) fn until(
        &self,
        word: &Word,
        target: u32,
        peer: usize,
        until: Until,
    ) -> Result<(), TransportError> {
        if reached(word.load(), target) || (self.spin && spin(word, target)) {
            return Ok(());
        }
        let settings = &self.connection.settings;
        let block = self.connection.segment.rank(peer);
        let mut progress = block.progress.load(Ordering::Relaxed);
        let mut since = Instant::now();
        loop {
            let seen = word.load();
            if reached(seen, target) {
                return Ok(());
            }
            self.look_round()?;
            if let Some(error) = self.gone(peer, block) {
                // It may have done its part before it ended.
                return if reached(word.load(), target) { Ok(()) } else { Err(error) };
            }
            let moving = until == Until::Advanced && block.moving.load(Ordering::Relaxed) == 1;
            if !moving || block.progress.load(Ordering::Relaxed) != progress {
                progress = block.progress.load(Ordering::Relaxed);
                since = Instant::now();
            }
            if !moving && self.began.elapsed() > settings.deadline {
                let fault = Fault { kind: FaultKind::Late, rank: peer };
                return Err(self.fault(fault.declare(&self.connection.segment)));
            }
            if moving && since.elapsed() > settings.stopped_after {
                let fault = Fault { kind: FaultKind::Stopped, rank: peer };
                return Err(self.fault(fault.declare(&self.connection.segment)));
            }
            word.sleep(seen, SLICE);
            // Those who wait for us shall see that it isn't us who is stuck.
            self.connection.progress();
        }
    }

    /// An error where the run has a fault or the caller calls the collective off.
    pub(crate) fn look_round(&self) -> Result<(), TransportError> {
        if let Some(fault) = Fault::read(&self.connection.segment) {
            return Err(self.fault(fault));
        }
        if (self.interrupted)() {
            return Err(self.error(ErrorCode::Cancelled, None, "", ""));
        }
        Ok(())
    }

    fn gone(&self, peer: usize, block: &RankBlock) -> Option<TransportError> {
        let code = match block.state.load(Ordering::Acquire) {
            state::DONE => ErrorCode::PeerFinished,
            state::FAILED => {
                return Some(self.fault(Fault { kind: FaultKind::Failed, rank: peer }));
            }
            _ => return None,
        };
        Some(self.error(code, Some(peer), "", whereabouts(&self.connection.segment, peer)))
    }

    fn fault(&self, fault: Fault) -> TransportError {
        let (code, expected, found) = describe(self.connection, fault);
        self.error(code, Some(fault.rank), expected, found)
    }

    /// An error of this collective.
    pub(crate) fn error(
        &self,
        code: ErrorCode,
        peer: Option<usize>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> TransportError {
        TransportError {
            peer,
            collective: self.kind.name(),
            sequence: self.sequence,
            seconds_waited: self.began.elapsed().as_secs_f64(),
            ..TransportError::new(code, self.connection.rank, expected, found)
        }
    }
}

/// A fault as an error's code and facts.
pub(crate) fn describe(connection: &Connection, fault: Fault) -> (ErrorCode, String, String) {
    let segment = &connection.segment;
    let place = whereabouts(segment, fault.rank);
    match fault.kind {
        FaultKind::Died => (ErrorCode::PeerDied, String::new(), place),
        FaultKind::Stopped => (ErrorCode::PeerStopped, String::new(), place),
        FaultKind::Failed => {
            (ErrorCode::PeerFailed, String::new(), segment.rank(fault.rank).failure.read())
        }
        FaultKind::Late => {
            let deadline = format!("{:.1} s", connection.settings.deadline.as_secs_f64());
            (ErrorCode::Deadline, deadline, place)
        }
    }
}

/// Where a rank is, as far as it has said: "at step 3, block 7, all-to-all #281".
pub(crate) fn whereabouts(segment: &Segment, rank: usize) -> String {
    let block = segment.rank(rank);
    let position = block.position.read();
    let entered = block.entered.load(Ordering::Acquire);
    let kind = OperationKind::from_number(u64::from(block.kind.load(Ordering::Relaxed)));
    let place = kind.filter(|_| entered > 0).map(|kind| Place {
        kind,
        sequence: block.sequence.load(Ordering::Relaxed),
        within: entered > block.left.load(Ordering::Acquire),
    });
    crate::whereabouts::whereabouts(&position, place)
}

fn spin(word: &Word, target: u32) -> bool {
    let began = Instant::now();
    while began.elapsed() < SPIN {
        for _ in 0..SPINS_PER_LOOK {
            if reached(word.load(), target) {
                return true;
            }
            std::hint::spin_loop();
        }
    }
    false
}
