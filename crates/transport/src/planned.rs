//! Ranks of which there is one alone, to tell what a run would move before it runs.
//!
//! Groups split and count as those of a real run do; nothing can be exchanged.

use crate::call::{Agreement, Call, Memory, Operation};
use crate::check::check_parts;
use crate::descriptor::OperationKind;
use crate::error::{ErrorCode, TransportError};
use crate::ledger::Ledger;
use crate::process_group::{Pending, ProcessGroup, SharedAllocation, Transport};
use cpu_kernels::DType;
use std::sync::{Arc, Mutex, MutexGuard};

/// One rank of a planned run.
pub struct PlannedTransport {
    world: Arc<PlannedGroup>,
}

impl PlannedTransport {
    /// Rank `rank` of `world_size`.
    ///
    /// # Errors
    /// `Argument` unless the rank lies below the size.
    pub fn new(rank: usize, world_size: usize) -> Result<PlannedTransport, TransportError> {
        if rank >= world_size {
            let expected = format!("below the number of ranks, {world_size}");
            let found = format!("the rank is {rank}");
            return Err(TransportError::new(ErrorCode::Argument, rank, expected, found));
        }
        let members = (0..world_size).collect();
        Ok(PlannedTransport { world: Arc::new(PlannedGroup::new("world", members, rank)) })
    }

    /// The group of all ranks.
    pub fn planned_world(&self) -> Arc<PlannedGroup> {
        self.world.clone()
    }
}

impl Transport for PlannedTransport {
    fn name(&self) -> &'static str {
        "planned"
    }

    fn world(&self) -> Arc<dyn ProcessGroup> {
        self.world.clone()
    }

    fn note(&self, _position: &str) {}

    fn finish(&self) -> Result<(), TransportError> {
        Ok(())
    }

    fn fail(&self, _reason: &str) {}
}

/// A group of planned ranks, as one of its members has it.
pub struct PlannedGroup {
    label: String,
    members: Vec<usize>,
    index: usize,
    ledger: Mutex<Ledger>,
}

impl PlannedGroup {
    fn new(label: &str, members: Vec<usize>, index: usize) -> PlannedGroup {
        PlannedGroup { label: label.to_owned(), members, index, ledger: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Counts a collective as if it had been completed. It must fit the group (see
    /// [`Operation::elements`]).
    pub fn count(&self, operation: &Operation, dtype: DType) {
        let (sent, received) = operation.payload(self.index, self.members.len());
        let element = dtype.size();
        self.lock().add(operation.kind(), sent * element, received * element);
    }

    /// [`ProcessGroup::split`], which takes no communication here.
    pub fn part(
        &self,
        label: &str,
        parts: &[Vec<usize>],
    ) -> Result<Option<PlannedGroup>, TransportError> {
        check_parts(parts, self.rank(), self.members.len())?;
        self.lock().add(OperationKind::Split, 0, 0);
        let place = |part: &Vec<usize>| part.iter().position(|member| *member == self.index);
        Ok(parts.iter().find_map(|part| {
            let members = part.iter().map(|member| self.members[*member]).collect();
            Some(PlannedGroup::new(label, members, place(part)?))
        }))
    }

    fn rank(&self) -> usize {
        self.members[self.index]
    }

    /// Why a collective of that name can't run.
    pub fn refuse(&self, collective: &'static str) -> TransportError {
        let found = format!("group {} is of planned ranks", self.label);
        let expected = "plan inside a rehearsal, and join ranks to compute";
        let error = TransportError::new(ErrorCode::Planned, self.rank(), expected, found);
        TransportError { collective, ..error }
    }
}

impl ProcessGroup for PlannedGroup {
    fn label(&self) -> &str {
        &self.label
    }

    fn members(&self) -> &[usize] {
        &self.members
    }

    fn index(&self) -> usize {
        self.index
    }

    fn supports(&self, _memory: Memory) -> bool {
        false
    }

    unsafe fn start(&self, call: Call) -> Result<Box<dyn Pending + '_>, TransportError> {
        Err(self.refuse(call.operation.kind().name()))
    }

    fn agree(&self, agreement: Agreement) -> Result<Box<dyn Pending + '_>, TransportError> {
        Err(self.refuse(agreement.operation.kind().name()))
    }

    fn failure(&self) -> Option<TransportError> {
        None
    }

    fn split(
        &self,
        label: &str,
        parts: &[Vec<usize>],
    ) -> Result<Option<Arc<dyn ProcessGroup>>, TransportError> {
        Ok(self.part(label, parts)?.map(|group| Arc::new(group) as Arc<dyn ProcessGroup>))
    }

    fn allocate(&self, _bytes: usize) -> Result<Arc<dyn SharedAllocation>, TransportError> {
        Err(self.refuse(""))
    }

    fn ledger(&self) -> Ledger {
        self.lock().clone()
    }

    fn abandon(&self, _reason: &str) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::LedgerEntry;

    #[test]
    fn counts_collectives_and_splits_without_others() {
        let world = PlannedTransport::new(2, 4).unwrap().planned_world();
        let pair = world.part("pairs", &[vec![1, 0], vec![3, 2]]).unwrap().unwrap();
        assert_eq!((pair.label(), pair.members(), pair.index()), ("pairs", &[3, 2][..], 1));
        assert!(world.part("others", &[vec![0, 1]]).unwrap().is_none());
        assert_eq!(
            world.part("twice", &[vec![0], vec![0]]).err().unwrap().code,
            ErrorCode::Argument
        );
        pair.count(&Operation::AllGather { counts: vec![3, 5] }, DType::Float32);
        let moved = LedgerEntry { count: 1, bytes_sent: 20, bytes_received: 12 };
        assert_eq!(pair.ledger().get(OperationKind::AllGather), moved);
        assert_eq!(world.ledger().get(OperationKind::Split).count, 2);
    }

    #[test]
    fn says_that_nothing_can_run() {
        assert_eq!(PlannedTransport::new(2, 2).err().unwrap().code, ErrorCode::Argument);
        let world = PlannedTransport::new(0, 2).unwrap().world();
        let error = world.run(Operation::Barrier, DType::UInt8, &[], &[], &mut []).unwrap_err();
        assert_eq!((error.code, error.collective), (ErrorCode::Planned, "barrier"));
        assert!(error.to_string().contains("group world is of planned ranks"), "{error}");
    }
}
