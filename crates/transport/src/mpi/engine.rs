//! The thread that makes all MPI calls.

use super::api::Mpi;
use super::board::{Fault, FaultKind, Life};
use super::movement::Advance;
use super::peer::Peer;
use super::shared::{Request, Shared, Ticket};
use super::task::{Failure, Stage, Task};
use super::wire::Status;
use crate::error::ErrorCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Statuses come and go this often at least, with nothing else to do.
const IDLE: Duration = Duration::from_millis(5);
/// Between looks at statuses while there is something else to do.
const CONTROL: Duration = Duration::from_millis(2);
/// How long to see that others are told of a fault before memory of a collective is given back.
const TELL: Duration = Duration::from_millis(500);
/// A process may have ended with a last word under way.
const LAST_WORD: Duration = Duration::from_millis(200);
/// How long members have to find a disagreement themselves that another one tells of.
const OWN_VERDICT: Duration = Duration::from_millis(300);
/// Polls without news before the engine gives its core to others, and before it sleeps.
const POLLS_SPINNING: u32 = 200;
const POLLS_YIELDING: u32 = 2000;
const NAP: Duration = Duration::from_micros(100);

/// The thread that makes all MPI calls, once all ranks have come.
pub(super) struct Engine {
    pub(super) mpi: Box<dyn Mpi + Send>,
    pub(super) shared: Arc<Shared>,
    pub(super) peers: Vec<Peer>,
    tasks: Vec<Task>,
    pub(super) life: Life,
    /// At least as many cores here as ranks.
    spin: bool,
    polls: u32,
    looked: Instant,
    told: Instant,
    /// The run's fault, since when.
    pub(super) failed: Option<Instant>,
    /// A disagreement that another rank tells of.
    suspected: Option<(Fault, Instant)>,
    pub(super) finishing: Option<Instant>,
    pub(super) ending: bool,
    /// A failed collective's memory may be known to MPI: no more calls.
    silent: bool,
}

impl Engine {
    pub(super) fn new(
        mpi: Box<dyn Mpi + Send>,
        shared: Arc<Shared>,
        peers: Vec<Peer>,
        spin: bool,
    ) -> Engine {
        let now = Instant::now();
        Engine {
            mpi,
            shared,
            peers,
            tasks: Vec::new(),
            life: Life::Running,
            spin,
            polls: 0,
            looked: now,
            told: now,
            failed: None,
            suspected: None,
            finishing: None,
            ending: false,
            silent: false,
        }
    }

    /// Works until all ranks are done and MPI has ended, or the process ends.
    ///
    /// # Errors
    /// MPI's words where it doesn't end.
    pub(super) fn run(mut self) -> Result<(), String> {
        loop {
            let patience = if self.tasks.is_empty() { IDLE } else { Duration::ZERO };
            for request in self.shared.take(patience) {
                self.serve(request);
            }
            let outcome = self.turn();
            if let Err(words) = outcome {
                self.fail_by_mpi(&words);
            }
            if self.finishing.is_some() && self.is_over() {
                return self.end();
            }
            self.end_if_it_is_time();
        }
    }

    fn serve(&mut self, request: Request) {
        match request {
            Request::Start(task) => match self.shared.fault().filter(|_| self.failed.is_some()) {
                Some(fault) => {
                    task.ticket.settle(Err(task.fault(&fault, &self.shared.identity)));
                }
                None => self.tasks.push(*task),
            },
            Request::Cancel(ticket, reason) => self.cancel(&ticket, reason),
            Request::Tell => self.tell_fault(),
            // Its caller is told of the fault.
            Request::Finish if self.failed.is_some() => {}
            Request::Finish => {
                self.life = Life::Done;
                self.finishing = Some(Instant::now());
                self.tell_all(true);
            }
            Request::End => self.ending = true,
        }
        self.polls = 0;
    }

    /// One look at everything that is under way.
    fn turn(&mut self) -> Result<(), String> {
        if self.silent {
            std::thread::sleep(IDLE);
            return Ok(());
        }
        let mut moved = false;
        let mut index = 0;
        while index < self.tasks.len() && self.failed.is_none() {
            match self.advance(index) {
                Ok(Advance::Done) => {
                    let task = self.tasks.swap_remove(index);
                    task.ticket.settle(Ok(task.agreed()));
                    moved = true;
                }
                Ok(advance) => {
                    moved |= advance == Advance::Moved;
                    index += 1;
                }
                Err(failure) => self.fail_task(index, failure),
            }
        }
        if self.looked.elapsed() >= CONTROL {
            self.look_round()?;
        }
        if !self.tasks.is_empty() {
            self.pause(moved);
        }
        Ok(())
    }

    fn advance(&mut self, index: usize) -> Result<Advance, Failure> {
        let Engine { mpi, shared, peers, tasks, .. } = self;
        let mut met = |rank: usize, place| {
            if let Some(peer) = peers.iter_mut().find(|peer| peer.rank == rank) {
                peer.met(place);
            }
        };
        tasks[index].advance(&**mpi, &shared.identity, &mut met)
    }

    /// Waits a little where nothing has moved: short at first, so that small messages are quick.
    fn pause(&mut self, moved: bool) {
        self.polls = if moved { 0 } else { self.polls.saturating_add(1) };
        if self.polls < POLLS_SPINNING && self.spin {
            std::hint::spin_loop();
        } else if self.polls < POLLS_YIELDING {
            std::thread::yield_now();
        } else {
            std::thread::sleep(NAP);
        }
    }

    /// Hears and tells statuses, and looks for ranks that have ended or are silent.
    fn look_round(&mut self) -> Result<(), String> {
        let now = Instant::now();
        let settings = &self.shared.identity.settings;
        // This process may be the one that was stopped: what others said has yet to be read.
        let asleep = now - self.looked > settings.stopped_after / 2;
        self.looked = now;
        let mut told = None;
        for peer in &mut self.peers {
            if asleep {
                peer.heard = now;
            }
            while let Some(status) = peer.status(&*self.mpi)? {
                told = told.or(status.fault);
            }
        }
        if let Some(fault) = told.filter(|_| self.failed.is_none()) {
            if fault.kind == FaultKind::Disagreed {
                self.suspected.get_or_insert((fault, now));
            } else {
                self.declare(fault);
            }
        }
        if self.failed.is_none() {
            self.weigh_suspicion();
        }
        if self.failed.is_none()
            && let Some(fault) = self.find_fault(now)
        {
            self.declare(fault);
        }
        if self.failed.is_none() {
            self.look_for_finished(now);
        }
        let interval = self.shared.identity.settings.stopped_after / 30;
        let interval = interval.clamp(Duration::from_millis(20), Duration::from_millis(500));
        if self.told.elapsed() > interval && self.life != Life::Gone {
            self.tell_all(false);
        }
        Ok(())
    }

    /// Takes another's word for a disagreement, unless this rank is about to find it as well.
    fn weigh_suspicion(&mut self) {
        let meeting = self.tasks.iter().any(|task| task.stage == Stage::Meeting);
        if let Some((fault, since)) = &self.suspected
            && (!meeting || since.elapsed() > OWN_VERDICT)
        {
            let fault = fault.clone();
            self.declare(fault);
        }
    }

    fn find_fault(&mut self, now: Instant) -> Option<Fault> {
        let stopped_after = self.shared.identity.settings.stopped_after;
        let deadline = self.shared.identity.settings.deadline;
        let late = self.finishing.is_some_and(|since| now - since > deadline);
        for peer in self.peers.iter_mut().filter(|peer| peer.life != Life::Gone) {
            if peer.ended.is_none() && peer.process.as_ref().is_some_and(|one| one.has_ended()) {
                peer.ended = Some(now);
            }
            let kind = if peer.ended.is_some_and(|ended| now - ended > LAST_WORD) {
                FaultKind::Died
            } else if now - peer.heard > stopped_after {
                FaultKind::Stopped
            } else if late && peer.life == Life::Running {
                FaultKind::Late
            } else {
                continue;
            };
            return Some(Fault { kind, rank: peer.rank, found: peer.whereabouts() });
        }
        None
    }

    /// A rank that others wait for can't be done.
    fn look_for_finished(&mut self, now: Instant) {
        // What it announced before it was done may be under way still.
        let finished =
            self.peers.iter().filter(|peer| peer.done.is_some_and(|since| now - since > LAST_WORD));
        for peer in finished {
            let Some(index) = self.tasks.iter().position(|task| task.waits_for(peer.rank)) else {
                continue;
            };
            let (task, identity) = (&self.tasks[index], &self.shared.identity);
            let mut error = task.error(identity, ErrorCode::PeerFinished, "", peer.whereabouts());
            error.peer = Some(peer.rank);
            return self.fail_task(index, Failure::Error(error));
        }
    }

    /// A collective of this rank's failed here.
    fn fail_task(&mut self, index: usize, failure: Failure) {
        let own = self.shared.identity.rank;
        let error = match failure {
            Failure::Mpi(words) => return self.fail_by_mpi(&words),
            Failure::Late(rank) => {
                let peer = self.peers.iter().find(|peer| peer.rank == rank);
                let found = peer.map_or_else(String::new, Peer::whereabouts);
                return self.declare(Fault { kind: FaultKind::Late, rank, found });
            }
            Failure::Error(error) => error,
        };
        let kind = if error.code == ErrorCode::Mismatch {
            FaultKind::Disagreed
        } else {
            FaultKind::Failed
        };
        let ticket = self.tasks[index].ticket.clone();
        self.shared.declare(Fault { kind, rank: own, found: error.to_string() });
        self.tell_fault_before(|| ticket.settle(Err(error)));
    }

    pub(super) fn fail_by_mpi(&mut self, words: &str) {
        let (kind, rank) = (FaultKind::Failed, self.shared.identity.rank);
        self.declare(Fault { kind, rank, found: format!("the MPI library failed: {words}") });
    }

    fn cancel(&mut self, ticket: &Arc<Ticket>, reason: &'static str) {
        let Some(task) = self.tasks.iter().find(|task| Arc::ptr_eq(&task.ticket, ticket)) else {
            return;
        };
        let identity = &self.shared.identity;
        let error = task.error(identity, ErrorCode::Cancelled, "", reason);
        let (kind, rank) = (FaultKind::Failed, identity.rank);
        self.shared.declare(Fault { kind, rank, found: error.to_string() });
        let ticket = ticket.clone();
        self.tell_fault_before(|| ticket.settle(Err(error)));
    }

    pub(super) fn declare(&mut self, fault: Fault) {
        self.shared.declare(fault);
        self.tell_fault();
    }

    fn tell_fault(&mut self) {
        self.tell_fault_before(|| ());
    }

    /// Tells the others of the run's fault, and then those who wait here for collectives.
    fn tell_fault_before(&mut self, first: impl FnOnce()) {
        let Some(fault) = self.shared.fault() else { return };
        let began = Instant::now();
        if self.failed.is_none() {
            self.failed = Some(began);
            self.tell_all(true);
            // Until then, buffers must stay: MPI may get on with what it knows of.
            while began.elapsed() < TELL && !self.all_told() {
                std::thread::sleep(NAP);
            }
        }
        first();
        let tasks = std::mem::take(&mut self.tasks);
        self.silent |= tasks.iter().any(|task| task.movement.is_under_way());
        for task in &tasks {
            task.ticket.settle(Err(task.fault(&fault, &self.shared.identity)));
        }
        // What they announced stays in memory: MPI may still send it.
        std::mem::forget(tasks);
    }

    /// Whether others have taken what they were told, and what collectives here announced.
    pub(super) fn all_told(&mut self) -> bool {
        let fault = self.shared.fault();
        let deaf = fault.filter(|fault| matches!(fault.kind, FaultKind::Died | FaultKind::Stopped));
        let deaf = deaf.map(|fault| fault.rank);
        let Engine { mpi, peers, tasks, .. } = self;
        let mut all = true;
        for peer in peers.iter_mut().filter(|peer| Some(peer.rank) != deaf) {
            // A rank that can't be told must not keep others from it.
            all &= peer.is_told(&**mpi).unwrap_or(true);
        }
        let introductions = tasks.iter_mut().flat_map(|task| &mut task.introductions);
        for introduction in introductions.filter(|one| Some(one.rank) != deaf) {
            all &= introduction.is_sent(&**mpi).unwrap_or(true);
        }
        all
    }

    fn tell_all(&mut self, urgent: bool) {
        self.told = Instant::now();
        let (position, place) = self.shared.own_place();
        let status = Status { life: self.life, position, place, fault: self.shared.fault() };
        let message = status.encode();
        for peer in self.peers.iter_mut().filter(|peer| peer.life != Life::Gone) {
            // A rank that takes nothing is found by its silence.
            let _ = peer.tell(&*self.mpi, &message, urgent);
        }
    }
}
