//! How the engine ends: with MPI, once all ranks are done, or with all of them after a fault.

use super::board::{Fault, FaultKind, Life};
use super::engine::Engine;
use super::exit::end_process;
use super::shared::Phase;
use super::wire::Status;
use std::time::Duration;

/// How long all ranks make no MPI calls before they end MPI: longer than last words are under way.
const SILENCE: Duration = Duration::from_millis(500);
/// How long an ending process leaves others to tell of the fault before the launcher ends all.
const GRACE: Duration = Duration::from_secs(1);
/// How long after a fault a process may go on that doesn't end.
const LINGER: Duration = Duration::from_secs(3);

impl Engine {
    /// Whether all ranks have said that they know all to be done.
    pub(super) fn is_over(&mut self) -> bool {
        if self.failed.is_some() {
            return false;
        }
        let all_done = self.peers.iter().all(|peer| peer.life != Life::Running);
        if all_done && self.life == Life::Done && self.all_told() {
            self.life = Life::Gone;
            self.say_last_word();
        }
        self.life == Life::Gone
            && self.peers.iter().all(|peer| peer.life == Life::Gone)
            && self.all_told()
    }

    /// Says that this rank knows all to be done. What was told before has been taken, so that there
    /// is room for it.
    fn say_last_word(&mut self) {
        let (position, place) = self.shared.own_place();
        let message = Status { life: Life::Gone, position, place, fault: None }.encode();
        let Engine { mpi, peers, .. } = self;
        let told: Result<Vec<_>, _> =
            peers.iter_mut().map(|peer| peer.tell(&**mpi, &message, true)).collect();
        if let Err(words) = told {
            self.fail_by_mpi(&words);
        }
    }

    /// Ends MPI, once all ranks know that all are done.
    ///
    /// Over UCX, a rank ends when all others have answered that they have its messages, which they
    /// do in MPI calls. Libraries answer no more once they have been answered themselves (MPICH until
    /// 4.1), so that a rank which answered others while it still tested for last words, and began to
    /// end after them, would never be answered. A rank that has been silent asks before it answers.
    ///
    /// # Errors
    /// MPI's words.
    pub(super) fn end(&self) -> Result<(), String> {
        self.shared.set_phase(Phase::Ending);
        if !self.peers.is_empty() {
            std::thread::sleep(SILENCE);
        }
        self.mpi.finalize()
    }

    /// Has the launcher end all ranks once this process ends, or should have.
    pub(super) fn end_if_it_is_time(&mut self) {
        if self.ending && self.failed.is_none() {
            let (kind, rank) = (FaultKind::Failed, self.shared.identity.rank);
            let found = format!("it ended without having done its work{}", self.own_position());
            self.declare(Fault { kind, rank, found });
        }
        let Some(since) = self.failed else { return };
        let alone = self.peers.is_empty();
        if self.ending && (alone || since.elapsed() > GRACE) {
            self.mpi.abort();
            end_process();
        }
        if since.elapsed() > LINGER {
            let identity = &self.shared.identity;
            let fault = self.shared.fault();
            let error = fault.map(|fault| fault.error(identity, "", 0, since.elapsed()));
            // Nobody else is left to say it: what follows ends this process and the others.
            eprintln!("{}", error.map_or_else(String::new, |error| error.to_string()));
            self.shared.set_ending();
            self.mpi.abort();
            end_process();
        }
    }

    fn own_position(&self) -> String {
        let (position, place) = self.shared.own_place();
        format!(" {}", crate::whereabouts::whereabouts(&position, place))
    }
}
