//! A group of ranks under MPI.

use super::comparison::{Extra, Introduction, parts, words};
use super::movement::Movement;
use super::shared::{Request, Shared, Ticket};
use super::task::{Stage, Task};
use crate::call::{Agreement, Buffer, BufferMut, Call, Memory, Operation, Peer};
use crate::check::{check, check_operation, check_parts};
use crate::descriptor::{Descriptor, Detail, OperationKind};
use crate::error::{ErrorCode, TransportError};
use crate::ledger::Ledger;
use crate::process_group::{Pending, ProcessGroup, SharedAllocation};
use crate::shape::Shape;
use crate::whereabouts::Place;
use cpu_kernels::DType;
use std::ffi::c_int;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Kinds of messages of a group, each of a tag of its own.
#[derive(Clone, Copy)]
enum Channel {
    /// What members announce.
    Announcement,
    /// A collective's bytes.
    Bytes,
    /// What the sender of an exchange announces.
    Offer,
    /// What its receiver does.
    Want,
    /// Its bytes.
    Mail,
}

const CHANNELS: u64 = 5;
/// Tags below are of messages beside collectives.
const FIRST_TAG: u64 = 8;
/// Every MPI library has tags up to 32,767.
const MOST_GROUPS: u64 = (32_767 - FIRST_TAG) / CHANNELS;

/// How often a waiting caller is asked whether the collective is to be called off.
const SLICE: Duration = Duration::from_millis(20);

/// A group of ranks, as one of its members has it.
pub(super) struct MpiGroup {
    shared: Arc<Shared>,
    label: String,
    members: Arc<[usize]>,
    index: usize,
    number: u64,
    progress: Mutex<Progress>,
    ledger: Mutex<Ledger>,
}

enum Progress {
    Idle(Counters),
    UnderWay,
    Failed(TransportError),
}

/// What a member has done in a group so far.
struct Counters {
    /// Collectives begun, exchanges apart.
    sequence: u64,
    /// Exchanges begun with each member, as sender and as receiver.
    sent: Vec<u64>,
    received: Vec<u64>,
}

/// A collective that this member has begun.
struct UnderWay<'a> {
    group: &'a MpiGroup,
    ticket: Arc<Ticket>,
    kind: OperationKind,
    /// Bytes to and from others.
    payload: (usize, usize),
    /// What is sent doesn't lie in one piece.
    packed: bool,
    /// There until the collective is complete.
    counters: Option<Counters>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl MpiGroup {
    /// The group of `members`, one of which this rank is. No two groups that share two ranks have
    /// the same `number`.
    pub(super) fn new(
        shared: Arc<Shared>,
        label: String,
        members: Arc<[usize]>,
        number: u64,
    ) -> MpiGroup {
        let index = members.iter().position(|rank| *rank == shared.identity.rank);
        let index = index.expect("a rank makes the groups that it is in");
        let none = vec![0; members.len()];
        let counters = Counters { sequence: 0, sent: none.clone(), received: none };
        let (progress, ledger) = (Mutex::new(Progress::Idle(counters)), Mutex::default());
        MpiGroup { shared, label, members, index, number, progress, ledger }
    }

    fn tag(&self, channel: Channel) -> c_int {
        (FIRST_TAG + self.number * CHANNELS + channel as u64) as c_int
    }

    /// Takes the counters out for a collective of that kind, whose number `number` tells.
    fn enter(
        &self,
        kind: OperationKind,
        number: impl FnOnce(&Counters) -> u64,
    ) -> Result<(Counters, u64), TransportError> {
        let mut progress = lock(&self.progress);
        let identity = &self.shared.identity;
        let sequence = match &*progress {
            Progress::Failed(error) => return Err(error.clone()),
            Progress::Idle(counters) => number(counters),
            Progress::UnderWay => {
                return Err(TransportError::new(
                    ErrorCode::Argument,
                    identity.rank,
                    "started after the one before is complete",
                    format!("a collective of group {} is under way", self.label),
                ));
            }
        };
        if let Some(fault) = self.shared.fault() {
            let error = fault.error(identity, kind.name(), sequence, Duration::ZERO);
            *progress = Progress::Failed(error.clone());
            return Err(error);
        }
        match std::mem::replace(&mut *progress, Progress::UnderWay) {
            Progress::Idle(counters) => {
                self.shared.publish(None, Some(Place { kind, sequence, within: true }));
                Ok((counters, sequence))
            }
            _ => unreachable!("the lock is held since it was idle"),
        }
    }

    fn collective(
        &self,
        kind: OperationKind,
        call: Call,
        shape: &Shape,
        (extra, added): (Extra, Vec<u64>),
        elsewhere: bool,
    ) -> Result<UnderWay<'_>, TransportError> {
        let (mut counters, sequence) = self.enter(kind, |counters| counters.sequence + 1)?;
        counters.sequence = sequence;
        let descriptor = shape.descriptor(sequence, kind, call.dtype);
        let descriptor = if elsewhere { descriptor.elsewhere() } else { descriptor };
        let own = words(&descriptor, added);
        let tag = self.tag(Channel::Announcement);
        let introductions = self
            .members
            .iter()
            .enumerate()
            .filter(|(member, _)| *member != self.index)
            .map(|(member, rank)| {
                Introduction::new((member, *rank), (tag, tag), own.clone(), self.members.len())
            })
            .collect();
        let tag = self.tag(Channel::Bytes);
        let met = (introductions, extra, own);
        Ok(self.begin((kind, sequence), counters, call, elsewhere, tag, met))
    }

    /// Begins a collective that fits the group.
    fn start_checked(&self, call: Call, elsewhere: bool) -> Result<UnderWay<'_>, TransportError> {
        if let Operation::Exchange { to, from } = call.operation {
            return self.exchange(call, to, from, elsewhere);
        }
        let shape = Shape::of(&call);
        let added = (Extra::of(&call), parts(&call));
        self.collective(call.operation.kind(), call, &shape, added, elsewhere)
    }

    fn exchange(
        &self,
        call: Call,
        to: Option<Peer>,
        from: Option<Peer>,
        elsewhere: bool,
    ) -> Result<UnderWay<'_>, TransportError> {
        let kind = OperationKind::Exchange;
        let next = |counts: &[u64], peer: Option<Peer>| peer.map(|peer| counts[peer.member] + 1);
        let (mut counters, sequence) = self.enter(kind, |counters| {
            // The larger, where the two hops differ.
            next(&counters.sent, to).max(next(&counters.received, from)).unwrap_or_default()
        })?;
        let (offer, want) = (self.tag(Channel::Offer), self.tag(Channel::Want));
        let introduce = |peer: Peer, counts: &mut [u64], tags| {
            counts[peer.member] += 1;
            let (number, detail) = (counts[peer.member], Detail::None);
            let (dtype, shape) = (call.dtype, &call.shape);
            let descriptor = Descriptor::new(number, kind, dtype, detail, shape, &[], peer.count);
            let descriptor = if elsewhere { descriptor.elsewhere() } else { descriptor };
            let place = (peer.member, self.members[peer.member]);
            Introduction::new(place, tags, words(&descriptor, []), 0)
        };
        let sent = to.map(|peer| introduce(peer, &mut counters.sent, (offer, want)));
        let received = from.map(|peer| introduce(peer, &mut counters.received, (want, offer)));
        let introductions = sent.into_iter().chain(received).collect();
        let tag = self.tag(Channel::Mail);
        let met = (introductions, Extra::None, Vec::new());
        Ok(self.begin((kind, sequence), counters, call, elsewhere, tag, met))
    }

    fn begin(
        &self,
        (kind, sequence): (OperationKind, u64),
        counters: Counters,
        mut call: Call,
        elsewhere: bool,
        tag: c_int,
        (introductions, extra, own): (Vec<Introduction>, Extra, Vec<u64>),
    ) -> UnderWay<'_> {
        let element = call.dtype.size();
        let (sent, received) = call.operation.payload(self.index, self.members.len());
        let packed = matches!(call.operation, Operation::Reshard(_)) && !elsewhere;
        if elsewhere {
            // The members meet and compare; nothing is left to move.
            call.operation = Operation::Barrier;
        }
        let ticket = Ticket::new();
        let now = Instant::now();
        self.shared.ask(Request::Start(Box::new(Task {
            ticket: ticket.clone(),
            kind,
            sequence,
            began: now,
            introductions,
            extra,
            own,
            members: self.members.clone(),
            index: self.index,
            movement: Movement::new(call, self.index, self.members.clone(), tag),
            stage: Stage::New,
            moved: now,
        })));
        let payload = (sent * element, received * element);
        UnderWay { group: self, ticket, kind, payload, packed, counters: Some(counters) }
    }
}

impl UnderWay<'_> {
    /// Waits for the outcome and puts the counters back, or fails the group.
    fn settle(&mut self, interrupted: &dyn Fn() -> bool) -> Result<u64, TransportError> {
        let group = self.group;
        let mut called_off = false;
        let outcome = loop {
            if let Some(outcome) = self.ticket.wait(SLICE) {
                break outcome;
            }
            if let Some(error) = group.shared.abandoned() {
                break Err(error);
            }
            if !called_off && interrupted() {
                called_off = true;
                let reason = "a collective was cancelled";
                group.shared.ask(Request::Cancel(self.ticket.clone(), reason));
            }
        };
        let counters = self.counters.take();
        match (&outcome, counters) {
            (Ok(_), Some(counters)) => {
                *lock(&group.progress) = Progress::Idle(counters);
                group.shared.publish_left();
                let mut ledger = lock(&group.ledger);
                ledger.add(self.kind, self.payload.0, self.payload.1);
                if self.packed {
                    ledger.add_staged(self.payload.0);
                }
            }
            (Err(error), _) => *lock(&group.progress) = Progress::Failed(error.clone()),
            (Ok(_), None) => unreachable!("a collective is completed once"),
        }
        outcome
    }
}

impl Pending for UnderWay<'_> {
    fn complete(mut self: Box<Self>, interrupted: &dyn Fn() -> bool) -> Result<(), TransportError> {
        self.settle(interrupted).map(drop)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if self.counters.is_some() {
            let reason = "a collective was started and never completed";
            self.group.shared.ask(Request::Cancel(self.ticket.clone(), reason));
            // Until then MPI may touch what the caller is about to let go of.
            if self.settle(&|| false).is_ok() {
                self.group.shared.fail(reason);
            }
        }
    }
}

impl ProcessGroup for MpiGroup {
    fn label(&self) -> &str {
        &self.label
    }

    fn members(&self) -> &[usize] {
        &self.members
    }

    fn index(&self) -> usize {
        self.index
    }

    fn supports(&self, memory: Memory) -> bool {
        memory == Memory::Host
    }

    unsafe fn start(&self, call: Call) -> Result<Box<dyn Pending + '_>, TransportError> {
        let (rank, size) = (self.shared.identity.rank, self.members.len());
        check(&call, rank, self.index, size, |memory| self.supports(memory))?;
        Ok(Box::new(self.start_checked(call, false)?))
    }

    fn agree(&self, agreement: Agreement) -> Result<Box<dyn Pending + '_>, TransportError> {
        let (rank, size) = (self.shared.identity.rank, self.members.len());
        check_operation(&agreement.operation, rank, self.index, size)?;
        Ok(Box::new(self.start_checked(agreement.call(), true)?))
    }

    fn failure(&self) -> Option<TransportError> {
        let fault = self.shared.fault()?;
        Some(fault.error(&self.shared.identity, "", 0, Duration::ZERO))
    }

    fn split(
        &self,
        label: &str,
        parts: &[Vec<usize>],
    ) -> Result<Option<Arc<dyn ProcessGroup>>, TransportError> {
        let identity = &self.shared.identity;
        check_parts(parts, identity.rank, self.members.len())?;
        let call = Call {
            operation: Operation::Barrier,
            dtype: DType::UInt8,
            shape: Vec::new(),
            sources: vec![Buffer::EMPTY],
            targets: vec![BufferMut::EMPTY],
        };
        let proposal = self.shared.groups() + 1;
        let added = (Extra::Proposal, vec![proposal]);
        let shape = Shape::of_parts(parts);
        let mut under_way = self.collective(OperationKind::Split, call, &shape, added, false)?;
        let number = under_way.settle(&|| false)?;
        if number > MOST_GROUPS {
            // Every member comes to the same number: the group goes on.
            let (code, rank) = (ErrorCode::OutOfSharedMemory, identity.rank);
            let found = format!("{number} groups");
            let expected = format!("a run has {MOST_GROUPS}");
            return Err(TransportError::new(code, rank, expected, found));
        }
        self.shared.set_groups(number);
        let own = parts.iter().find(|part| part.contains(&self.index));
        Ok(own.map(|part| -> Arc<dyn ProcessGroup> {
            let members = part.iter().map(|member| self.members[*member]).collect();
            Arc::new(MpiGroup::new(self.shared.clone(), label.to_owned(), members, number))
        }))
    }

    fn allocate(&self, bytes: usize) -> Result<Arc<dyn SharedAllocation>, TransportError> {
        let (expected, found) = ("ask for none", format!("MPI shares no memory ({bytes} bytes)"));
        let rank = self.shared.identity.rank;
        Err(TransportError::new(ErrorCode::OutOfSharedMemory, rank, expected, found))
    }

    fn ledger(&self) -> Ledger {
        lock(&self.ledger).clone()
    }

    fn abandon(&self, reason: &str) {
        self.shared.fail(reason);
    }
}
