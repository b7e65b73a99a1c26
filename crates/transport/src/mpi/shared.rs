//! What the engine and those who call on it share.

use super::board::{Fault, FaultKind};
use super::settings::MpiSettings;
use super::task::Task;
use crate::error::{ErrorCode, TransportError};
use crate::whereabouts::Place;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// This process's place and settings.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub rank: usize,
    pub world: usize,
    pub settings: MpiSettings,
}

/// How far the engine has come.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Phase {
    /// MPI initialises itself.
    Joining,
    /// All ranks are there.
    Running,
    /// The ranks can't come together.
    Refused(TransportError),
    /// All ranks have said that they are done, and MPI ends.
    Ending,
    /// MPI has ended.
    Finished,
}

/// What the engine is asked to do.
pub(super) enum Request {
    Start(Box<Task>),
    /// Calls a collective off, for a reason.
    Cancel(Arc<Ticket>, &'static str),
    /// A fault was declared: the others are to be told.
    Tell,
    Finish,
    /// The process ends.
    End,
}

/// What a collective has come to, for the one who waits for it.
pub(super) struct Ticket {
    outcome: Mutex<Option<Outcome>>,
    settled: Condvar,
}

/// Of a split the number of the new groups, else 0.
pub(super) type Outcome = Result<u64, TransportError>;

struct State {
    requests: Vec<Request>,
    phase: Phase,
    position: String,
    place: Option<Place>,
    fault: Option<Fault>,
    /// The largest number of any group of this rank.
    groups: u64,
    /// MPI is initialised and hasn't been finalised.
    in_use: bool,
    ending: bool,
    /// The engine's thread has ended.
    gone: bool,
}

/// Between the engine and those who call on it.
pub(super) struct Shared {
    pub identity: Identity,
    state: Mutex<State>,
    /// For the engine: there is something to do.
    wake: Condvar,
    /// For the others: another phase, or a fault.
    changed: Condvar,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Ticket {
    pub(super) fn new() -> Arc<Ticket> {
        Arc::new(Ticket { outcome: Mutex::new(None), settled: Condvar::new() })
    }

    pub(super) fn settle(&self, outcome: Outcome) {
        lock(&self.outcome).get_or_insert(outcome);
        self.settled.notify_all();
    }

    /// The outcome, if it is there within `time`.
    pub(super) fn wait(&self, time: Duration) -> Option<Outcome> {
        let outcome = lock(&self.outcome);
        let waited = self.settled.wait_timeout_while(outcome, time, |outcome| outcome.is_none());
        let (outcome, _) = waited.unwrap_or_else(|poisoned| poisoned.into_inner());
        outcome.clone()
    }
}

impl Shared {
    pub(super) fn new(identity: Identity) -> Shared {
        let state = State {
            requests: Vec::new(),
            phase: Phase::Joining,
            position: String::new(),
            place: None,
            fault: None,
            groups: 0,
            in_use: false,
            ending: false,
            gone: false,
        };
        let (wake, changed) = (Condvar::new(), Condvar::new());
        Shared { identity, state: Mutex::new(state), wake, changed }
    }

    /// Asks the engine for something.
    pub(super) fn ask(&self, request: Request) {
        let mut state = lock(&self.state);
        state.ending |= matches!(request, Request::End);
        state.requests.push(request);
        drop(state);
        self.wake.notify_one();
    }

    /// What the engine has been asked for. Waits for up to `patience` where it is nothing.
    pub(super) fn take(&self, patience: Duration) -> Vec<Request> {
        let mut state = lock(&self.state);
        if state.requests.is_empty() && !patience.is_zero() {
            let waited = self.wake.wait_timeout(state, patience);
            (state, _) = waited.unwrap_or_else(|poisoned| poisoned.into_inner());
        }
        std::mem::take(&mut state.requests)
    }

    pub(super) fn phase(&self) -> Phase {
        lock(&self.state).phase.clone()
    }

    pub(super) fn set_phase(&self, phase: Phase) {
        let mut state = lock(&self.state);
        state.in_use &= phase != Phase::Finished;
        state.phase = phase;
        drop(state);
        self.changed.notify_all();
    }

    /// Whether a process that ends now has to end the others too.
    pub(super) fn is_in_use(&self) -> bool {
        lock(&self.state).in_use
    }

    pub(super) fn set_in_use(&self, in_use: bool) {
        lock(&self.state).in_use = in_use;
    }

    /// An error where the engine has ended without an outcome for those who wait.
    pub(super) fn abandoned(&self) -> Option<TransportError> {
        let text = "the thread that speaks to MPI has ended".to_owned();
        let gone = lock(&self.state).gone;
        gone.then(|| self.error(ErrorCode::System, (String::new(), text)))
    }

    /// The engine's thread ends.
    pub(super) fn set_gone(&self) {
        lock(&self.state).gone = true;
        self.changed.notify_all();
    }

    pub(super) fn set_ending(&self) {
        lock(&self.state).ending = true;
    }

    pub(super) fn is_ending(&self) -> bool {
        lock(&self.state).ending
    }

    pub(super) fn fault(&self) -> Option<Fault> {
        lock(&self.state).fault.clone()
    }

    /// Makes this the run's fault, unless there is one; returns the one that counts.
    pub(super) fn declare(&self, fault: Fault) -> Fault {
        let first = lock(&self.state).fault.get_or_insert(fault).clone();
        self.changed.notify_all();
        first
    }

    /// Publishes what is said of this rank's position, or the collective it has come to.
    pub(super) fn publish(&self, position: Option<&str>, place: Option<Place>) {
        let mut state = lock(&self.state);
        if let Some(position) = position {
            state.position = position.to_owned();
        }
        state.place = place.or(state.place);
    }

    /// This rank has left the collective that it came to last.
    pub(super) fn publish_left(&self) {
        if let Some(place) = &mut lock(&self.state).place {
            place.within = false;
        }
    }

    pub(super) fn own_place(&self) -> (String, Option<Place>) {
        let state = lock(&self.state);
        (state.position.clone(), state.place)
    }

    /// The largest number of any group of this rank.
    pub(super) fn groups(&self) -> u64 {
        lock(&self.state).groups
    }

    pub(super) fn set_groups(&self, groups: u64) {
        lock(&self.state).groups = groups;
    }

    /// Reports a failure of this rank's own, if nothing is amiss yet.
    pub(super) fn fail(&self, reason: &str) {
        if matches!(self.phase(), Phase::Running) && self.fault().is_none() {
            let (kind, rank, found) = (FaultKind::Failed, self.identity.rank, reason.to_owned());
            self.declare(Fault { kind, rank, found });
            self.ask(Request::Tell);
        }
    }

    /// Waits while the phase is `phase` and there is no fault, for at most `time` or for ever.
    /// Returns what is the case then.
    pub(super) fn wait_while(
        &self,
        phase: &Phase,
        time: Option<Duration>,
    ) -> (Phase, Option<Fault>) {
        let deadline = time.map(|time| Instant::now() + time);
        let mut state = lock(&self.state);
        while state.phase == *phase && state.fault.is_none() && !state.gone {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                break;
            }
            let slice = left.unwrap_or(Duration::MAX).min(Duration::from_secs(60));
            let waited = self.changed.wait_timeout(state, slice);
            (state, _) = waited.unwrap_or_else(|poisoned| poisoned.into_inner());
        }
        (state.phase.clone(), state.fault.clone())
    }

    /// An error of this rank outside of collectives.
    pub(super) fn error(
        &self,
        code: ErrorCode,
        (expected, found): (String, String),
    ) -> TransportError {
        TransportError::new(code, self.identity.rank, expected, found)
    }
}
