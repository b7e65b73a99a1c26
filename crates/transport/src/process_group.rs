//! The interfaces of a transport.

use crate::call::{Agreement, Call, Memory};
use crate::error::TransportError;
use crate::ledger::Ledger;
use std::sync::Arc;

/// This process's place in a run.
pub trait Transport: Send + Sync {
    /// The implementation's name, such as `local`.
    fn name(&self) -> &'static str;

    /// The group of all ranks.
    fn world(&self) -> Arc<dyn ProcessGroup>;

    /// Publishes where the rank is, such as "step 3, block 7", for messages about it.
    fn note(&self, position: &str);

    /// Reports that this rank has done its whole work. A process that ends without it has failed.
    /// Where nobody but the ranks themselves can tell whether all have, this waits for them.
    ///
    /// # Errors
    /// `PeerDied` and the like where another rank doesn't come to its end.
    fn finish(&self) -> Result<(), TransportError>;

    /// Reports a failure of this rank's own, so that those who wait for it get `reason`.
    fn fail(&self, reason: &str);
}

/// An ordered list of ranks that call collectives together.
///
/// Members call the same collectives in the same order. One collective of a group is under way at a
/// time; different groups are independent. After a failure a group, and on a shared machine every
/// group, stays failed: ranks end, and a new run starts.
pub trait ProcessGroup: Send + Sync {
    /// The name in messages.
    fn label(&self) -> &str;

    /// The ranks, of the whole run, in the group's order.
    fn members(&self) -> &[usize];

    /// This process's place among the members.
    fn index(&self) -> usize;

    /// The number of members.
    fn size(&self) -> usize {
        self.members().len()
    }

    /// Whether collectives take buffers there.
    fn supports(&self, memory: Memory) -> bool;

    /// Begins a collective and returns at once, as far as the transport can.
    ///
    /// # Errors
    /// `Argument` where buffers don't fit the sizes, `Mismatch` and the like where the group has
    /// failed before.
    ///
    /// # Safety
    /// Until the returned value is completed or dropped, sources stay readable and unwritten, targets
    /// are touched by nobody else, and none overlaps a target.
    unsafe fn start(&self, call: Call) -> Result<Box<dyn Pending + '_>, TransportError>;

    /// Begins all of a collective but the moving of its bytes, which go another way, such as between
    /// devices: members compare what they are about to do and wait for each other, and it is counted.
    ///
    /// Complete, it says that every member takes part, and no more: what goes wrong on the other way is
    /// told by [`ProcessGroup::abandon`], and heard of by [`ProcessGroup::failure`].
    ///
    /// # Errors
    /// As [`ProcessGroup::start`].
    fn agree(&self, agreement: Agreement) -> Result<Box<dyn Pending + '_>, TransportError>;

    /// What has ended the run for all, if anything has: a rank that died, stopped or failed.
    fn failure(&self) -> Option<TransportError>;

    /// New groups of this one's members: every member names the same disjoint lists of places in
    /// this group, and gets the group that it is in, if any.
    fn split(
        &self,
        label: &str,
        parts: &[Vec<usize>],
    ) -> Result<Option<Arc<dyn ProcessGroup>>, TransportError>;

    /// Whether [`ProcessGroup::allocate`] gives memory.
    fn shares_memory(&self) -> bool {
        false
    }

    /// Memory from which other members read directly, where the transport has any.
    fn allocate(&self, bytes: usize) -> Result<Arc<dyn SharedAllocation>, TransportError>;

    /// What has been completed so far.
    fn ledger(&self) -> Ledger;

    /// Reports that this member will never come to its next collective, and why.
    fn abandon(&self, reason: &str);
}

/// A collective under way. Dropping it without completing it fails the group.
pub trait Pending: Send {
    /// Waits until the targets are filled and the sources may be reused. On a device: until that is
    /// enqueued on its stream.
    ///
    /// `interrupted` is asked from time to time; once it says yes, the collective is called off.
    fn complete(self: Box<Self>, interrupted: &dyn Fn() -> bool) -> Result<(), TransportError>;
}

/// Memory that other ranks read directly. Freed when the last handle is gone.
pub trait SharedAllocation: Send + Sync {
    /// The first byte, aligned to 64 bytes.
    fn address(&self) -> *mut u8;

    /// How many bytes.
    fn bytes(&self) -> usize;
}

impl dyn ProcessGroup + '_ {
    /// Starts `call` and waits until it is complete, its buffers being borrowed for that long.
    ///
    /// # Errors
    /// As [`ProcessGroup::start`] and [`Pending::complete`].
    pub fn run(
        &self,
        operation: crate::Operation,
        dtype: crate::DType,
        shape: &[usize],
        source: &[u8],
        target: &mut [u8],
    ) -> Result<(), TransportError> {
        let call = Call {
            operation,
            dtype,
            shape: shape.to_vec(),
            sources: vec![crate::Buffer::of(source)],
            targets: vec![crate::BufferMut::of(target)],
        };
        // SAFETY: both slices are borrowed until `complete` returns, and a shared and a mutable
        // slice don't overlap.
        unsafe { self.start(call) }?.complete(&|| false)
    }
}
