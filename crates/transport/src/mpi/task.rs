//! A collective in the engine's hands: its members meet and compare, then their bytes move.

use super::api::Mpi;
use super::board::Fault;
use super::comparison::{DESCRIPTOR, Extra, Introduction, compare};
use super::movement::{Advance, Movement};
use super::shared::{Identity, Ticket};
use crate::descriptor::OperationKind;
use crate::error::{ErrorCode, TransportError};
use crate::whereabouts::Place;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A collective in the engine's hands.
pub(super) struct Task {
    pub ticket: Arc<Ticket>,
    pub kind: OperationKind,
    pub sequence: u64,
    pub began: Instant,
    /// With the members that take part, in their order.
    pub introductions: Vec<Introduction>,
    pub extra: Extra,
    /// What this member announces, where it announces the same to all.
    pub own: Vec<u64>,
    pub members: Arc<[usize]>,
    pub index: usize,
    pub movement: Movement,
    pub stage: Stage,
    /// When anything last came or went.
    pub moved: Instant,
}

/// How far a collective is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    New,
    Meeting,
    Moving,
}

/// Why a collective can't go on.
pub(super) enum Failure {
    /// MPI's words.
    Mpi(String),
    Error(TransportError),
    /// Rank `.0` hasn't come, or its bytes haven't, for too long.
    Late(usize),
}

impl From<String> for Failure {
    fn from(words: String) -> Failure {
        Failure::Mpi(words)
    }
}

impl Task {
    /// Gets on as far as messages have come and gone. `met` is told of ranks that come.
    pub(super) fn advance(
        &mut self,
        mpi: &dyn Mpi,
        identity: &Identity,
        met: &mut dyn FnMut(usize, Place),
    ) -> Result<Advance, Failure> {
        if self.stage == Stage::New {
            for introduction in &mut self.introductions {
                introduction.begin(mpi)?;
            }
            self.stage = Stage::Meeting;
        }
        let mut moved = false;
        for introduction in self.introductions.iter_mut().filter(|one| !one.is_over()) {
            let before = introduction.met;
            moved |= introduction.advance(mpi)?;
            if introduction.met && !before {
                let (kind, sequence) = (self.kind, self.sequence);
                met(introduction.rank, Place { kind, sequence, within: true });
            }
        }
        if self.stage == Stage::Meeting {
            if let Some(missing) = self.introductions.iter().find(|one| !one.met) {
                if !moved && self.began.elapsed() > identity.settings.deadline {
                    return Err(Failure::Late(missing.rank));
                }
                return Ok(if moved { Advance::Moved } else { Advance::Waiting });
            }
            let own = (self.index, self.own.as_slice());
            compare(&self.introductions, self.extra, &self.members, own).map_err(
                |(peer, ours, theirs)| {
                    Failure::Error(TransportError {
                        peer: Some(peer),
                        ..self.error(identity, ErrorCode::Mismatch, ours, theirs)
                    })
                },
            )?;
            self.stage = Stage::Moving;
            self.moved = Instant::now();
        }
        let advance = self.movement.advance(mpi)?;
        if advance == Advance::Waiting && !moved {
            let stuck = self.moved.elapsed() > identity.settings.deadline;
            if let Some(rank) = self.movement.awaited().filter(|_| stuck) {
                return Err(Failure::Late(rank));
            }
            return Ok(Advance::Waiting);
        }
        self.moved = Instant::now();
        let over = self.introductions.iter().all(Introduction::is_over);
        Ok(if advance == Advance::Done && over { Advance::Done } else { Advance::Moved })
    }

    /// What a split agrees on: the largest number that any member proposed.
    pub(super) fn agreed(&self) -> u64 {
        if self.extra != Extra::Proposal {
            return 0;
        }
        let announced = self.introductions.iter().map(|one| &one.theirs).chain([&self.own]);
        announced.filter_map(|words| words.get(DESCRIPTOR)).max().copied().unwrap_or_default()
    }

    /// Whether it waits for the rank.
    pub(super) fn waits_for(&self, rank: usize) -> bool {
        self.introductions.iter().any(|one| one.rank == rank && !one.met)
    }

    pub(super) fn fault(&self, fault: &Fault, identity: &Identity) -> TransportError {
        fault.error(identity, self.kind.name(), self.sequence, self.waited())
    }

    pub(super) fn error(
        &self,
        identity: &Identity,
        code: ErrorCode,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> TransportError {
        TransportError {
            collective: self.kind.name(),
            sequence: self.sequence,
            seconds_waited: self.waited().as_secs_f64(),
            ..TransportError::new(code, identity.rank, expected, found)
        }
    }

    fn waited(&self) -> Duration {
        self.began.elapsed()
    }
}
