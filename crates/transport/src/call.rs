//! A collective's arguments.

use crate::descriptor::OperationKind;
use crate::reshard::Reshard;
use cpu_kernels::DType;

/// Where a buffer's memory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// The processor's.
    Host,
    /// A device's. `stream` is the raw handle of the device stream that produces what is sent and
    /// consumes what is received; a transport for devices enqueues there and waits for nothing.
    Device {
        /// The device's number.
        index: u32,
        /// The stream's raw handle.
        stream: usize,
    },
}

/// Bytes to send.
#[derive(Clone, Copy, Debug)]
pub struct Buffer {
    /// Where they are.
    pub memory: Memory,
    /// The first one.
    pub address: *const u8,
    /// How many.
    pub bytes: usize,
}

/// Bytes to receive into.
#[derive(Clone, Copy, Debug)]
pub struct BufferMut {
    /// Where they are.
    pub memory: Memory,
    /// The first one.
    pub address: *mut u8,
    /// How many.
    pub bytes: usize,
}

// SAFETY: a buffer is an address; whoever starts a collective with it promises that the memory may
// be used until the collective is complete, from any thread (see `ProcessGroup::start`).
unsafe impl Send for Buffer {}
// SAFETY: as above.
unsafe impl Send for BufferMut {}

impl Buffer {
    /// No bytes.
    pub const EMPTY: Buffer = Buffer { memory: Memory::Host, address: std::ptr::null(), bytes: 0 };

    /// The bytes of a slice in the processor's memory.
    pub fn of(bytes: &[u8]) -> Buffer {
        Buffer { memory: Memory::Host, address: bytes.as_ptr(), bytes: bytes.len() }
    }
}

impl BufferMut {
    /// No bytes.
    pub const EMPTY: BufferMut =
        BufferMut { memory: Memory::Host, address: std::ptr::null_mut(), bytes: 0 };

    /// The bytes of a slice in the processor's memory.
    pub fn of(bytes: &mut [u8]) -> BufferMut {
        BufferMut { memory: Memory::Host, address: bytes.as_mut_ptr(), bytes: bytes.len() }
    }
}

/// The other side of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its place in the group.
    pub member: usize,
    /// How many elements go to it or come from it.
    pub count: usize,
}

/// A collective, with its sizes in elements. Sizes are given for each member, so uneven ones are
/// no case of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Everyone waits for everyone.
    Barrier,
    /// The source of member `root` comes to the target of all; only the root's source is read.
    Broadcast {
        /// The sending member.
        root: usize,
        /// Elements sent.
        count: usize,
    },
    /// The target of all holds the sources of all, in the members' order.
    AllGather {
        /// Elements of each member's source; equal on all members.
        counts: Vec<usize>,
    },
    /// Part `j` of a member's source comes to member `j`, whose target holds the parts in the
    /// members' order.
    AllToAll {
        /// Elements to each member.
        send: Vec<usize>,
        /// Elements from each member.
        receive: Vec<usize>,
    },
    /// The target of all holds the sum of the sources, added in the members' order.
    AllReduce {
        /// Elements.
        count: usize,
    },
    /// The target of member `j` holds part `j` of the sum of the sources, added in the members'
    /// order.
    ReduceScatter {
        /// Elements of each part; equal on all members.
        counts: Vec<usize>,
    },
    /// The source goes to one member and the target comes from one. Only the two members of each
    /// hop take part, and each pair numbers its own hops.
    Exchange {
        /// Who gets the source, if anyone.
        to: Option<Peer>,
        /// Who fills the target, if anyone.
        from: Option<Peer>,
    },
    /// An all-to-all of several tensors, each shared out along one dimension before and along
    /// another afterwards. Source and target `i` are tensor `i`, contiguous.
    Reshard(Reshard),
}

impl Operation {
    /// The kind.
    pub fn kind(&self) -> OperationKind {
        match self {
            Operation::Barrier => OperationKind::Barrier,
            Operation::Broadcast { .. } => OperationKind::Broadcast,
            Operation::AllGather { .. } => OperationKind::AllGather,
            Operation::AllToAll { .. } | Operation::Reshard(_) => OperationKind::AllToAll,
            Operation::AllReduce { .. } => OperationKind::AllReduce,
            Operation::ReduceScatter { .. } => OperationKind::ReduceScatter,
            Operation::Exchange { .. } => OperationKind::Exchange,
        }
    }

    /// Elements that member `index` of `size` sends and receives, or `None` where they overflow or
    /// the members named don't exist.
    pub fn elements(&self, index: usize, size: usize) -> Option<(usize, usize)> {
        let sum = |counts: &[usize]| {
            let total = counts.iter().try_fold(0usize, |sum, &count| sum.checked_add(count))?;
            (counts.len() == size).then_some(total)
        };
        let of = |peer: &Option<Peer>| match peer {
            Some(peer) => (peer.member < size).then_some(peer.count),
            None => Some(0),
        };
        Some(match self {
            Operation::Barrier => (0, 0),
            Operation::Broadcast { root, count } if *root < size => {
                (if *root == index { *count } else { 0 }, *count)
            }
            Operation::Broadcast { .. } => return None,
            Operation::AllGather { counts } => {
                let total = sum(counts)?;
                (*counts.get(index)?, total)
            }
            Operation::AllToAll { send, receive } => (sum(send)?, sum(receive)?),
            Operation::AllReduce { count } => (*count, *count),
            Operation::ReduceScatter { counts } => {
                let total = sum(counts)?;
                (total, *counts.get(index)?)
            }
            Operation::Exchange { to, from } => (of(to)?, of(from)?),
            Operation::Reshard(reshard) => reshard.elements(index, size)?,
        })
    }

    /// How many sources and targets it takes.
    pub fn tensors(&self) -> usize {
        if let Operation::Reshard(reshard) = self { reshard.tensors } else { 1 }
    }

    /// Elements that member `index` of `size` sends to other members and receives from others,
    /// which is what a ledger counts: what a member sends to itself doesn't, and a sum counts as a
    /// reduce-scatter and an all-gather of equal parts. `elements` must have been `Some`.
    pub fn payload(&self, index: usize, size: usize) -> (usize, usize) {
        let others = |of: &dyn Fn(usize) -> usize| {
            (0..size).filter(|member| *member != index).map(of).sum::<usize>()
        };
        match self {
            Operation::Barrier => (0, 0),
            Operation::Broadcast { root, count } if *root == index => (count * (size - 1), 0),
            Operation::Broadcast { count, .. } => (0, *count),
            Operation::AllGather { counts } => {
                (counts[index] * (size - 1), others(&|member| counts[member]))
            }
            Operation::AllToAll { send, receive } => {
                (others(&|member| send[member]), others(&|member| receive[member]))
            }
            Operation::AllReduce { count } => {
                let per = count.div_ceil(size);
                let own = (per * (index + 1)).min(*count) - (per * index).min(*count);
                let moved = count - own + own * (size - 1);
                (moved, moved)
            }
            Operation::ReduceScatter { counts } => {
                (others(&|member| counts[member]), counts[index] * (size - 1))
            }
            Operation::Exchange { to, from } => {
                let count = |peer: &Option<Peer>| peer.map_or(0, |peer| peer.count);
                (count(to), count(from))
            }
            Operation::Reshard(reshard) => {
                let moved =
                    |sender, receiver| reshard.tensors * reshard.part(sender, receiver).count();
                (others(&|receiver| moved(index, receiver)), others(&|sender| moved(sender, index)))
            }
        }
    }
}

/// A collective whose bytes go another way; see [`crate::ProcessGroup::agree`].
#[derive(Clone, Debug)]
pub struct Agreement {
    /// What to do.
    pub operation: Operation,
    /// The element type.
    pub dtype: DType,
    /// As that of a [`Call`].
    pub shape: Vec<usize>,
}

impl Agreement {
    /// The call without buffers.
    pub(crate) fn call(self) -> Call {
        let Agreement { operation, dtype, shape } = self;
        let tensors = operation.tensors();
        let sources = vec![Buffer::EMPTY; tensors];
        Call { operation, dtype, shape, sources, targets: vec![BufferMut::EMPTY; tensors] }
    }
}

/// A collective to start.
#[derive(Clone, Debug)]
pub struct Call {
    /// What to do.
    pub operation: Operation,
    /// The element type.
    pub dtype: DType,
    /// What members compare beside the sizes: the tensor's extents, without those that differ from
    /// member to member.
    pub shape: Vec<usize>,
    /// What this member sends: [`Operation::tensors`] buffers of equal length.
    pub sources: Vec<Buffer>,
    /// What it receives into, as many; must overlap neither a source nor each other.
    pub targets: Vec<BufferMut>,
}

impl Call {
    /// What this member sends, where the operation takes one buffer.
    pub fn source(&self) -> Buffer {
        self.sources[0]
    }

    /// What it receives into, where the operation takes one buffer.
    pub fn target(&self) -> BufferMut {
        self.targets[0]
    }
}
