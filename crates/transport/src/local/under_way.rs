//! A collective between its start and its completion.

use super::group::{Counters, LocalGroup};
use super::movement::Movement;
use super::wait::{Until, Wait};
use crate::call::Call;
use crate::descriptor::{Descriptor, OperationKind};
use crate::error::{ErrorCode, TransportError};
use crate::process_group::Pending;
use std::time::Instant;

/// A collective that this member has announced.
pub(super) struct UnderWay<'a> {
    pub(super) group: &'a LocalGroup,
    pub(super) call: Call,
    pub(super) kind: OperationKind,
    pub(super) descriptor: Descriptor,
    /// Whether its bytes go another way.
    pub(super) elsewhere: bool,
    /// There until the collective is complete.
    pub(super) counters: Option<Counters>,
    pub(super) began: Instant,
}

impl UnderWay<'_> {
    fn compare(&self) -> Result<(), (usize, Descriptor)> {
        let parity = (self.descriptor.sequence() % 2) as usize;
        for (member, &rank) in self.group.members.iter().enumerate() {
            let other = self.group.lane(member).announcements[parity].descriptor.read();
            if other != self.descriptor {
                return Err((rank, other));
            }
        }
        Ok(())
    }

    fn move_all(&self, counters: &mut Counters, wait: &Wait<'_>) -> Result<(), TransportError> {
        let group = self.group;
        let arrived = counters.arrived;
        for member in others(group) {
            let word = &group.lane(member).arrived;
            wait.until(word, arrived, group.members[member], Until::Entered)?;
        }
        self.compare().map_err(|(peer, other)| {
            let (ours, theirs) = (self.descriptor.to_string(), other.to_string());
            wait.error(ErrorCode::Mismatch, Some(peer), ours, theirs)
        })?;
        let mut movement = Movement::new(group, &self.call, counters, self.descriptor.sequence());
        movement.compare_parts(wait)?;
        if !self.elsewhere {
            movement.run(wait)?;
        }
        group.record(self.kind, &self.call);
        Ok(())
    }
}

/// The other members, each starting after itself, so that they don't all read from one.
pub(super) fn others(group: &LocalGroup) -> impl Iterator<Item = usize> + use<> {
    let (index, size) = (group.index, group.members.len());
    (1..size).map(move |step| (index + step) % size)
}

impl Pending for UnderWay<'_> {
    fn complete(mut self: Box<Self>, interrupted: &dyn Fn() -> bool) -> Result<(), TransportError> {
        let mut counters = self.counters.take().expect("a collective is completed once");
        let wait = Wait {
            connection: &self.group.connection,
            kind: self.kind,
            sequence: self.descriptor.sequence(),
            began: self.began,
            spin: self.group.connection.spin,
            interrupted,
        };
        let _moving = self.group.connection.moving();
        let outcome = self.move_all(&mut counters, &wait);
        self.group.settle(outcome, counters)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if self.counters.is_some() {
            self.group.dropped(self.kind, self.descriptor.sequence());
        }
    }
}
