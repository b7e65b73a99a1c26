//! A group of local ranks.

use super::arena::Block;
use super::connection::Connection;
use super::control::Lane;
use super::exchange::{Exchange, Mail, exchange_number};
use super::fault::Fault;
use super::movement::Movement;
use super::under_way::UnderWay;
use super::wait::describe;
use crate::call::{Agreement, Call, Memory, Operation};
use crate::check::{check, check_operation, check_parts};
use crate::descriptor::OperationKind;
use crate::error::{ErrorCode, TransportError};
use crate::ledger::Ledger;
use crate::process_group::{Pending, ProcessGroup, SharedAllocation};
use crate::shape::Shape;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

/// A group of local ranks, as one of its members has it.
pub(crate) struct LocalGroup {
    pub(super) connection: Arc<Connection>,
    label: String,
    pub(super) members: Vec<usize>,
    pub(super) index: usize,
    first_lane: usize,
    progress: Mutex<Progress>,
    ledger: Mutex<Ledger>,
}

enum Progress {
    Idle(Counters),
    UnderWay,
    Failed(TransportError),
}

/// What a member has done in a group so far.
pub(super) struct Counters {
    /// Collectives begun, exchanges apart.
    pub sequence: u64,
    /// Barriers arrived at.
    pub arrived: u32,
    /// Two halves, used in turn from barrier to barrier: when a half's turn comes again, everyone
    /// has passed the barrier between and so read what was there.
    pub window: Option<Block>,
    /// Exchanges with each member.
    pub mail: Vec<Mail>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl LocalGroup {
    /// The group of `members`, one of which this rank is, in the lanes from `first_lane` on.
    pub(crate) fn new(
        connection: Arc<Connection>,
        label: String,
        members: Vec<usize>,
        first_lane: usize,
    ) -> LocalGroup {
        let index = members.iter().position(|rank| *rank == connection.rank);
        let index = index.expect("a rank makes the groups that it is in");
        let mail = members.iter().map(|_| Mail::default()).collect();
        let counters = Counters { sequence: 0, arrived: 0, window: None, mail };
        LocalGroup {
            connection,
            label,
            members,
            index,
            first_lane,
            progress: Mutex::new(Progress::Idle(counters)),
            ledger: Mutex::default(),
        }
    }

    /// The number of a member's lane.
    pub(super) fn lane_number(&self, member: usize) -> usize {
        self.first_lane + member
    }

    pub(super) fn lane(&self, member: usize) -> &Lane {
        self.connection.segment.lane(self.lane_number(member))
    }

    /// Where the caller's sources lie in the shared file, if all do.
    pub(super) fn locations(&self, call: &Call) -> Option<Vec<usize>> {
        let (segment, rank) = (&self.connection.segment, self.connection.rank);
        let sources = call.sources.iter();
        sources.map(|source| segment.offset_in_arena(rank, source.address, source.bytes)).collect()
    }

    /// Takes the counters out for a collective of that kind, whose number `number` tells.
    fn enter(
        &self,
        kind: OperationKind,
        number: impl Fn(&Counters) -> u64,
    ) -> Result<Counters, TransportError> {
        let mut progress = lock(&self.progress);
        let sequence = match &*progress {
            Progress::Failed(error) => return Err(error.clone()),
            Progress::Idle(counters) => number(counters),
            Progress::UnderWay => {
                return Err(TransportError::new(
                    ErrorCode::Argument,
                    self.connection.rank,
                    "started after the one before is complete",
                    format!("a collective of group {} is under way", self.label),
                ));
            }
        };
        if let Some(fault) = Fault::read(&self.connection.segment) {
            let (code, expected, found) = describe(&self.connection, fault);
            let error = TransportError {
                peer: Some(fault.rank),
                collective: kind.name(),
                sequence,
                ..TransportError::new(code, self.connection.rank, expected, found)
            };
            *progress = Progress::Failed(error.clone());
            return Err(error);
        }
        match std::mem::replace(&mut *progress, Progress::UnderWay) {
            Progress::Idle(counters) => {
                self.publish(kind, sequence);
                Ok(counters)
            }
            _ => unreachable!("the lock is held since it was idle"),
        }
    }

    /// Publishes which collective this rank is in.
    fn publish(&self, kind: OperationKind, sequence: u64) {
        let block = self.connection.segment.rank(self.connection.rank);
        block.kind.store(kind as u32, Ordering::Relaxed);
        block.sequence.store(sequence, Ordering::Relaxed);
        block.entered.fetch_add(1, Ordering::Release);
    }

    fn begin(
        &self,
        kind: OperationKind,
        call: Call,
        words: &[usize],
        shape: Shape,
        elsewhere: bool,
    ) -> Result<UnderWay<'_>, TransportError> {
        let mut counters = self.enter(kind, |counters| counters.sequence + 1)?;
        counters.sequence += 1;
        let sequence = counters.sequence;
        let descriptor = shape.descriptor(sequence, kind, call.dtype);
        let descriptor = if elsewhere { descriptor.elsewhere() } else { descriptor };
        let mut under_way = UnderWay {
            group: self,
            call,
            kind,
            descriptor,
            elsewhere,
            counters: Some(counters),
            began: Instant::now(),
        };
        let announcement = &self.lane(self.index).announcements[(sequence % 2) as usize];
        announcement.descriptor.write(&descriptor);
        for (place, cell) in announcement.locations.iter().enumerate() {
            let word = words.get(place).map_or(0, |word| *word as u64);
            cell.store(word, Ordering::Relaxed);
        }
        let mut counters = under_way.counters.take().expect("put there above");
        match Movement::new(self, &under_way.call, &mut counters, sequence).announce() {
            Ok(()) => under_way.counters = Some(counters),
            Err(error) => {
                self.fail(&error);
                return Err(error);
            }
        }
        Ok(under_way)
    }

    fn fail(&self, error: &TransportError) {
        *lock(&self.progress) = Progress::Failed(error.clone());
        // A fault of the run is another rank's; whatever else happened here is this rank's own.
        let own = matches!(
            error.code,
            ErrorCode::Mismatch
                | ErrorCode::PeerFinished
                | ErrorCode::Cancelled
                | ErrorCode::OutOfSharedMemory
                | ErrorCode::System
        );
        if own {
            self.connection.fail(&error.to_string());
        }
    }
}

impl ProcessGroup for LocalGroup {
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
        let (rank, size) = (self.connection.rank, self.members.len());
        check(&call, rank, self.index, size, |memory| self.supports(memory))?;
        self.start_checked(call, false)
    }

    fn agree(&self, agreement: Agreement) -> Result<Box<dyn Pending + '_>, TransportError> {
        let (rank, size) = (self.connection.rank, self.members.len());
        check_operation(&agreement.operation, rank, self.index, size)?;
        self.start_checked(agreement.call(), true)
    }

    fn failure(&self) -> Option<TransportError> {
        let fault = Fault::read(&self.connection.segment)?;
        let (code, expected, found) = describe(&self.connection, fault);
        Some(TransportError::new(code, self.connection.rank, expected, found).about(fault.rank))
    }

    fn split(
        &self,
        label: &str,
        parts: &[Vec<usize>],
    ) -> Result<Option<Arc<dyn ProcessGroup>>, TransportError> {
        let call = Call {
            operation: Operation::Barrier,
            dtype: cpu_kernels::DType::UInt8,
            shape: Vec::new(),
            sources: vec![crate::Buffer::EMPTY],
            targets: vec![crate::BufferMut::EMPTY],
        };
        check_parts(parts, self.connection.rank, self.members.len())?;
        let lanes = parts.iter().flatten().count();
        let header = self.connection.segment.header();
        // The first member takes lanes for all; the others read in its announcement which.
        let first = if self.index == 0 {
            header.next_lane.fetch_add(lanes as u32, Ordering::Relaxed) as usize
        } else {
            0
        };
        let shape = Shape::of_parts(parts);
        let under_way = self.begin(OperationKind::Split, call, &[first], shape, false)?;
        let parity = (under_way.descriptor.sequence() % 2) as usize;
        Box::new(under_way).complete(&|| false)?;
        let announced = &self.lane(0).announcements[parity];
        let mut lane = announced.locations[0].load(Ordering::Relaxed) as usize;
        let room = self.connection.segment.layout.lanes;
        if lane + lanes > room {
            // Every member reads the same lane and comes to the same answer: the group goes on.
            let (code, rank) = (ErrorCode::OutOfSharedMemory, self.connection.rank);
            let found = format!("{} members of groups", lane + lanes);
            return Err(TransportError::new(code, rank, format!("a run has {room}"), found));
        }
        for part in parts {
            if part.contains(&self.index) {
                let members = part.iter().map(|member| self.members[*member]).collect();
                let group =
                    LocalGroup::new(self.connection.clone(), label.to_owned(), members, lane);
                return Ok(Some(Arc::new(group)));
            }
            lane += part.len();
        }
        Ok(None)
    }

    fn shares_memory(&self) -> bool {
        true
    }

    fn allocate(&self, bytes: usize) -> Result<Arc<dyn SharedAllocation>, TransportError> {
        Ok(Arc::new(self.connection.arena.allocate(bytes)?))
    }

    fn ledger(&self) -> Ledger {
        lock(&self.ledger).clone()
    }

    fn abandon(&self, reason: &str) {
        self.connection.fail(reason);
    }
}

impl LocalGroup {
    /// Begins a collective that fits the group.
    fn start_checked(
        &self,
        call: Call,
        elsewhere: bool,
    ) -> Result<Box<dyn Pending + '_>, TransportError> {
        if let Operation::Exchange { to, from } = call.operation {
            let number = |counters: &Counters| exchange_number(counters, to, from);
            let counters = self.enter(OperationKind::Exchange, number)?;
            let mut exchange = Exchange::new(self, call, (to, from), elsewhere, counters);
            exchange.announce()?;
            return Ok(Box::new(exchange));
        }
        let locations = self.locations(&call).unwrap_or_default();
        let shape = Shape::of(&call);
        Ok(Box::new(self.begin(call.operation.kind(), call, &locations, shape, elsewhere)?))
    }

    /// Ends a collective: puts the counters back, or fails the group.
    pub(super) fn settle(
        &self,
        outcome: Result<(), TransportError>,
        counters: Counters,
    ) -> Result<(), TransportError> {
        match &outcome {
            Ok(()) => {
                *lock(&self.progress) = Progress::Idle(counters);
                let block = self.connection.segment.rank(self.connection.rank);
                block.left.fetch_add(1, Ordering::Release);
            }
            Err(error) => self.fail(error),
        }
        outcome
    }

    /// Counts a completed collective and its payload.
    pub(super) fn record(&self, kind: OperationKind, call: &Call) {
        let (sent, received) = call.operation.payload(self.index, self.members.len());
        let element = call.dtype.size();
        lock(&self.ledger).add(kind, sent * element, received * element);
    }

    /// Counts bytes that went through a window.
    pub(super) fn record_staged(&self, bytes: usize) {
        lock(&self.ledger).add_staged(bytes);
    }

    /// Fails the group for a collective that was announced and then dropped.
    pub(super) fn dropped(&self, kind: OperationKind, sequence: u64) {
        let found = "a collective was started and never completed";
        let error = TransportError {
            collective: kind.name(),
            sequence,
            ..TransportError::new(ErrorCode::Cancelled, self.connection.rank, "", found)
        };
        self.fail(&error);
    }
}
