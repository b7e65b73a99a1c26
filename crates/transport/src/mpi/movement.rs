//! Moving a collective's bytes, once its members have met: steps of transfers to and from each of
//! the others, and what is done with them afterwards.

use super::api::Mpi;
use super::transfer::{Content, PIECE, Strided, Transfer, pieces_ahead};
use crate::call::{Buffer, BufferMut, Call, Memory, Operation, Peer};
use crate::reshard::Reshard;
use crate::sum::sum;
use std::ffi::c_int;
use std::ops::Range;
use std::sync::Arc;

/// A collective's bytes, as its member moves them.
pub(super) struct Movement {
    call: Call,
    index: usize,
    members: Arc<[usize]>,
    tag: c_int,
    step: usize,
    transfers: Vec<Transfer>,
    /// The step's transfers have been made.
    begun: bool,
    /// What this member has for itself has been copied.
    kept: bool,
    /// Terms of a sum that other members have sent, by member; words, so that they are aligned.
    terms: Vec<Vec<u64>>,
}

/// What a step has come to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Advance {
    Waiting,
    Moved,
    Done,
}

/// A part of a buffer, or an address past it with no bytes.
fn source(buffer: Buffer, range: Range<usize>) -> Buffer {
    let address = buffer.address.wrapping_add(range.start);
    Buffer { memory: Memory::Host, address, bytes: range.len() }
}

/// As [`source`].
fn target(buffer: BufferMut, range: Range<usize>) -> BufferMut {
    let address = buffer.address.wrapping_add(range.start);
    BufferMut { memory: Memory::Host, address, bytes: range.len() }
}

/// Where part `index` of parts of `counts` elements lies, in bytes.
fn part(counts: &[usize], index: usize, element: usize) -> Range<usize> {
    let start = counts[..index].iter().sum::<usize>() * element;
    start..start + counts[index] * element
}

impl Movement {
    pub(super) fn new(call: Call, index: usize, members: Arc<[usize]>, tag: c_int) -> Movement {
        Movement {
            call,
            index,
            members,
            tag,
            step: 0,
            transfers: Vec::new(),
            begun: false,
            kept: false,
            terms: Vec::new(),
        }
    }

    /// Whether MPI may still touch the caller's memory.
    pub(super) fn is_under_way(&self) -> bool {
        self.transfers.iter().any(Transfer::is_under_way)
    }

    /// A rank whose bytes are outstanding, if any are.
    pub(super) fn awaited(&self) -> Option<usize> {
        self.transfers.iter().find(|transfer| !transfer.is_done()).map(Transfer::rank)
    }

    /// Gets on as far as messages have come and gone.
    pub(super) fn advance(&mut self, mpi: &dyn Mpi) -> Result<Advance, String> {
        if self.step == self.steps() {
            return Ok(Advance::Done);
        }
        if !self.begun {
            self.transfers = self.begin();
            self.begun = true;
        }
        let ahead = pieces_ahead(self.transfers.len());
        let mut moved = false;
        for transfer in &mut self.transfers {
            moved |= transfer.advance(mpi, ahead)?;
        }
        if !self.kept {
            // While the first pieces are under way.
            self.keep_own();
            self.kept = true;
        }
        if !self.transfers.iter().all(Transfer::is_done) {
            return Ok(if moved { Advance::Moved } else { Advance::Waiting });
        }
        self.conclude();
        self.step += 1;
        self.begun = false;
        Ok(if self.step == self.steps() { Advance::Done } else { Advance::Moved })
    }

    fn steps(&self) -> usize {
        match &self.call.operation {
            Operation::Barrier => 0,
            Operation::AllReduce { .. } => 2 * self.rounds(),
            Operation::ReduceScatter { .. } => self.rounds(),
            // A member with nothing to send or receive has a step without transfers.
            _ => 1,
        }
    }

    /// Rounds of a sum, each of a piece of every member's slice.
    fn rounds(&self) -> usize {
        let longest = (0..self.members.len()).map(|member| self.slice(member).len()).max();
        longest.unwrap_or(0).div_ceil(PIECE)
    }

    /// The bytes of which `member` takes the sum.
    fn slice(&self, member: usize) -> Range<usize> {
        let element = self.call.dtype.size();
        match &self.call.operation {
            Operation::AllReduce { count } => {
                let per = count.div_ceil(self.members.len());
                (per * member).min(*count) * element..(per * (member + 1)).min(*count) * element
            }
            Operation::ReduceScatter { counts } => part(counts, member, element),
            _ => 0..0,
        }
    }

    /// The piece of a slice that a round is about.
    fn piece(&self, member: usize, round: usize) -> Range<usize> {
        let slice = self.slice(member);
        let start = slice.end.min(slice.start + round * PIECE);
        start..slice.end.min(start + PIECE)
    }

    /// The round that a step belongs to, and whether it brings terms rather than sums.
    fn round(&self) -> (usize, bool) {
        if matches!(self.call.operation, Operation::AllReduce { .. }) {
            (self.step / 2, self.step.is_multiple_of(2))
        } else {
            (self.step, true)
        }
    }

    fn send(&self, member: usize, bytes: usize, content: Content) -> Transfer {
        Transfer::new(self.members[member], self.tag, bytes, content)
    }

    fn from(&self, member: usize, range: Range<usize>, buffer: BufferMut) -> Transfer {
        self.send(member, range.len(), Content::Target(target(buffer, range)))
    }

    fn to(&self, member: usize, range: Range<usize>, buffer: Buffer) -> Transfer {
        self.send(member, range.len(), Content::Source(source(buffer, range)))
    }

    /// The step's transfers. Members send to those after them first and receive from those before,
    /// so that they don't all talk to one.
    fn begin(&mut self) -> Vec<Transfer> {
        let (index, size) = (self.index, self.members.len());
        let element = self.call.dtype.size();
        let after = (1..size).map(|step| (index + step) % size);
        let before = (1..size).map(|step| (index + size - step) % size);
        match &self.call.operation {
            Operation::Barrier => Vec::new(),
            Operation::Broadcast { root, count } if *root == index => {
                let (whole, from) = (0..count * element, self.call.source());
                after.map(|member| self.to(member, whole.clone(), from)).collect()
            }
            Operation::Broadcast { root, count } => {
                vec![self.from(*root, 0..count * element, self.call.target())]
            }
            Operation::AllGather { counts } => {
                let own = 0..counts[index] * element;
                let sent = after.map(|member| self.to(member, own.clone(), self.call.source()));
                let received = before.map(|member| {
                    self.from(member, part(counts, member, element), self.call.target())
                });
                sent.chain(received).collect()
            }
            Operation::AllToAll { send, receive } => {
                let sent = after
                    .map(|member| self.to(member, part(send, member, element), self.call.source()));
                let received = before.map(|member| {
                    self.from(member, part(receive, member, element), self.call.target())
                });
                sent.chain(received).collect()
            }
            Operation::Exchange { to, from } => {
                let bytes = |peer: &Peer| 0..peer.count * element;
                let sent = to.map(|peer| self.to(peer.member, bytes(&peer), self.call.source()));
                let received =
                    from.map(|peer| self.from(peer.member, bytes(&peer), self.call.target()));
                sent.into_iter().chain(received).collect()
            }
            Operation::Reshard(reshard) => {
                let sources = self.strided(reshard, &self.call.sources);
                let targets = self.strided(reshard, &self.call.targets);
                let sent = after.map(|member| {
                    let content = Content::Packed(sources.clone(), (index, member));
                    self.send(member, reshard.bytes(index, member, element), content)
                });
                let received = before.map(|member| {
                    let content = Content::Unpacked(targets.clone(), (member, index));
                    self.send(member, reshard.bytes(member, index, element), content)
                });
                sent.chain(received).collect()
            }
            Operation::AllReduce { .. } | Operation::ReduceScatter { .. } => {
                let (round, terms) = self.round();
                if terms { self.bring_terms(round) } else { self.bring_sums(round) }
            }
        }
    }

    fn strided<B: Clone>(&self, reshard: &Reshard, tensors: &[B]) -> Strided<B> {
        let element = self.call.dtype.size();
        Strided { reshard: reshard.clone(), element, tensors: tensors.to_vec() }
    }

    fn bring_terms(&mut self, round: usize) -> Vec<Transfer> {
        let own = self.piece(self.index, round);
        let (index, size) = (self.index, self.members.len());
        let words = own.len().div_ceil(8);
        self.terms =
            (0..size).map(|member| vec![0; if member == index { 0 } else { words }]).collect();
        let addresses: Vec<*mut u8> =
            self.terms.iter_mut().map(|term| term.as_mut_ptr().cast()).collect();
        let others = (1..size).map(|step| (index + step) % size);
        let from = self.call.source();
        let sent = others.clone().map(|member| self.to(member, self.piece(member, round), from));
        let received = others.map(|member| {
            let address = addresses[member];
            let room = BufferMut { memory: Memory::Host, address, bytes: own.len() };
            self.from(member, 0..own.len(), room)
        });
        sent.chain(received).collect()
    }

    fn bring_sums(&self, round: usize) -> Vec<Transfer> {
        let (index, size) = (self.index, self.members.len());
        let others = (1..size).map(|step| (index + step) % size);
        let into = self.call.target();
        let sums = Buffer { memory: Memory::Host, address: into.address, bytes: into.bytes };
        let own = self.piece(index, round);
        let sent = others.clone().map(|member| self.to(member, own.clone(), sums));
        let received = others.map(|member| self.from(member, self.piece(member, round), into));
        sent.chain(received).collect()
    }

    /// Copies what this member has for itself.
    fn keep_own(&self) {
        let (index, element) = (self.index, self.call.dtype.size());
        let (own, place) = match &self.call.operation {
            Operation::Broadcast { root, count } if *root == index => {
                (0..count * element, 0..count * element)
            }
            Operation::AllGather { counts } => {
                (0..counts[index] * element, part(counts, index, element))
            }
            Operation::AllToAll { send, receive } => {
                (part(send, index, element), part(receive, index, element))
            }
            Operation::Reshard(reshard) => return self.keep_own_rows(reshard),
            _ => return,
        };
        let (from, to) = (source(self.call.source(), own), target(self.call.target(), place));
        if from.bytes > 0 {
            // SAFETY: parts of the caller's buffers (see `check`), of equal length since what a
            // member sends itself was compared with what it expects.
            unsafe { to.address.copy_from_nonoverlapping(from.address, from.bytes) };
        }
    }

    fn keep_own_rows(&self, reshard: &Reshard) {
        let (index, element) = (self.index, self.call.dtype.size());
        let pair = (index, index);
        let sources: Vec<_> = self.call.sources.iter().map(|tensor| tensor.address).collect();
        let targets: Vec<_> = self.call.targets.iter().map(|tensor| tensor.address).collect();
        let bytes = reshard.bytes(index, index, element);
        let mut staging = vec![0u8; bytes.min(PIECE)];
        for start in (0..bytes).step_by(PIECE) {
            let range = start..bytes.min(start + PIECE);
            let packed = staging.as_mut_ptr();
            // SAFETY: whole tensors of this member (see `check`), and room for a piece.
            unsafe {
                reshard.pack(pair, element, &sources, range.clone(), packed);
                reshard.unpack(pair, element, packed, range, &targets);
            }
        }
    }

    /// What follows once a step's bytes are there: a sum of terms, in the members' order.
    fn conclude(&mut self) {
        let place = match &self.call.operation {
            Operation::AllReduce { .. } => self.piece(self.index, self.step / 2).start,
            Operation::ReduceScatter { .. } => self.step * PIECE,
            _ => return,
        };
        let (round, terms) = self.round();
        let own = self.piece(self.index, round);
        if !terms || own.is_empty() {
            return;
        }
        let sent = source(self.call.source(), own.clone());
        let terms: Vec<*const u8> = self
            .terms
            .iter()
            .enumerate()
            .map(
                |(member, term)| {
                    if member == self.index { sent.address } else { term.as_ptr().cast() }
                },
            )
            .collect();
        let dtype = self.call.dtype;
        // SAFETY: every term has the piece's bytes, aligned (see `check`; slices begin at whole
        // elements), and so has the target from there on.
        unsafe {
            let sums = self.call.target().address.add(place);
            sum(dtype, &terms, sums, own.len() / dtype.size());
        }
    }
}
