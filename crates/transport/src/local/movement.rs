//! Moving a collective's bytes, once members have arrived.
//!
//! Members arrive at a barrier for every round. Before it, a sender whose source isn't in shared
//! memory puts a piece of it into its window; after it, the others pull. Sources in shared memory
//! are pulled whole in the first round, and one more barrier tells their owners that they may be
//! written again.

use super::copy::copy;
use super::group::{Counters, LocalGroup};
use super::under_way::others;
use super::wait::{Until, Wait};
use crate::call::{Call, Operation};
use crate::error::{ErrorCode, TransportError};
use std::sync::atomic::Ordering;

/// Between pieces of this size a rank shows progress and looks round for faults.
pub(super) const PIECE: usize = 4 << 20;
const LINE: usize = 64;

/// A part of a member's source.
#[derive(Clone, Copy)]
pub(super) struct Part {
    pub offset: usize,
    pub bytes: usize,
}

/// A collective of a group, as its member moves it.
pub(super) struct Movement<'a> {
    pub(super) group: &'a LocalGroup,
    pub(super) call: &'a Call,
    pub(super) counters: &'a mut Counters,
    parity: usize,
}

impl<'a> Movement<'a> {
    pub(super) fn new(
        group: &'a LocalGroup,
        call: &'a Call,
        counters: &'a mut Counters,
        sequence: u64,
    ) -> Movement<'a> {
        Movement { group, call, counters, parity: (sequence % 2) as usize }
    }

    /// Publishes sizes and the first piece, and arrives.
    pub(super) fn announce(&mut self) -> Result<(), TransportError> {
        if let Operation::AllToAll { send, receive } = &self.call.operation {
            let element = self.call.dtype.size();
            let lane = self.group.lane_number(self.group.index);
            for (which, counts) in [send, receive].into_iter().enumerate() {
                let table = self.group.connection.segment.table(lane, self.parity, which);
                for (cell, count) in table.iter().zip(counts) {
                    cell.store((count * element) as u64, Ordering::Relaxed);
                }
            }
        }
        self.stage(0)?;
        self.arrive();
        Ok(())
    }

    /// Compares what members send each other with what they expect. Every member looks at all
    /// pairs, so that all come to the same answer.
    pub(super) fn compare_parts(&self, wait: &Wait<'_>) -> Result<(), TransportError> {
        if !matches!(self.call.operation, Operation::AllToAll { .. }) {
            return Ok(());
        }
        let members = &self.group.members;
        for sender in 0..members.len() {
            for receiver in 0..members.len() {
                let (sent, wanted) =
                    (self.table(sender, 0, receiver), self.table(receiver, 1, sender));
                if sent == wanted {
                    continue;
                }
                let (from, to) = (members[sender], members[receiver]);
                let ours = self.announced(self.group.index);
                let peer = if to == self.group.connection.rank { sender } else { receiver };
                let theirs = self.announced(peer);
                return Err(wait.error(
                    ErrorCode::Mismatch,
                    Some(members[peer]),
                    format!("{ours} (rank {from} sends {sent} bytes to rank {to})"),
                    format!("{theirs} (rank {to} expects {wanted} bytes from rank {from})"),
                ));
            }
        }
        Ok(())
    }

    fn announced(&self, member: usize) -> String {
        self.group.lane(member).announcements[self.parity].descriptor.read().to_string()
    }

    /// Moves everything.
    pub(super) fn run(&mut self, wait: &Wait<'_>) -> Result<(), TransportError> {
        match &self.call.operation {
            Operation::Barrier | Operation::Exchange { .. } => Ok(()),
            Operation::AllReduce { count } => self.all_reduce(*count, wait),
            Operation::ReduceScatter { .. } => self.reduce_scatter(wait),
            Operation::Reshard(reshard) => self.reshard(reshard, wait),
            _ => self.pull_all(wait),
        }
    }

    fn pull_all(&mut self, wait: &Wait<'_>) -> Result<(), TransportError> {
        let index = self.group.index;
        let own = self.part(index, index);
        // The target's part of member `i` begins where those before it end.
        let starts: Vec<usize> = (0..self.group.members.len())
            .scan(0, |start, member| {
                let here = *start;
                *start += self.target_bytes(member);
                Some(here)
            })
            .collect();
        let keeps_own = self.target_bytes(index) > 0;
        if keeps_own {
            // SAFETY: the part lies in the source, and its place in the target (see `check`).
            unsafe {
                let target = self.call.target().address.add(starts[index]);
                self.pull(self.call.source().address.add(own.offset), target, own.bytes, wait)?;
            }
        }
        for round in 0..self.rounds() {
            self.next_round(round, wait)?;
            for member in others(self.group) {
                let part = self.part(member, index);
                let Some((address, start, bytes)) = self.piece(member, part, round) else {
                    continue;
                };
                // SAFETY: the piece lies in the member's shared memory, which it leaves alone until
                // we arrive at the next barrier, and its place in the target.
                unsafe {
                    let target = self.call.target().address.add(starts[member] + start);
                    self.pull(address, target, bytes, wait)?;
                }
            }
        }
        self.release_sources(wait)
    }

    /// Bytes of one half of the window.
    pub(super) fn half(&self) -> usize {
        self.group.connection.settings.window_bytes
    }

    fn is_whole(&self) -> bool {
        !matches!(
            self.call.operation,
            Operation::AllToAll { .. } | Operation::ReduceScatter { .. } | Operation::Reshard(_)
        )
    }

    /// Bytes of a part that fit into a half of the window: all of it where everyone reads the
    /// same, else a share for each member.
    pub(super) fn piece_bytes(&self) -> usize {
        if self.is_whole() {
            self.half()
        } else {
            (self.half() / self.group.members.len() / LINE * LINE).max(LINE)
        }
    }

    fn table(&self, member: usize, which: usize, of: usize) -> usize {
        let lane = self.group.lane_number(member);
        let table = self.group.connection.segment.table(lane, self.parity, which);
        table[of].load(Ordering::Relaxed) as usize
    }

    /// What `sender` has for `receiver`.
    pub(super) fn part(&self, sender: usize, receiver: usize) -> Part {
        let element = self.call.dtype.size();
        match &self.call.operation {
            Operation::Broadcast { root, count } if *root == sender => {
                Part { offset: 0, bytes: count * element }
            }
            Operation::AllGather { counts } => Part { offset: 0, bytes: counts[sender] * element },
            Operation::AllToAll { .. } => Part {
                offset: (0..receiver).map(|member| self.table(sender, 0, member)).sum(),
                bytes: self.table(sender, 0, receiver),
            },
            Operation::ReduceScatter { counts } => Part {
                offset: counts[..receiver].iter().sum::<usize>() * element,
                bytes: counts[receiver] * element,
            },
            Operation::AllReduce { count } => Part { offset: 0, bytes: count * element },
            // As if they were packed.
            Operation::Reshard(reshard) => {
                Part { offset: 0, bytes: reshard.bytes(sender, receiver, element) }
            }
            _ => Part { offset: 0, bytes: 0 },
        }
    }

    /// Bytes of the target that come from `member`.
    fn target_bytes(&self, member: usize) -> usize {
        self.part(member, self.group.index).bytes
    }

    /// Where a member's source lies in shared memory, if it does.
    pub(super) fn location(&self, member: usize) -> Option<usize> {
        Some(self.tensor_location(member, 0)).filter(|location| *location > 0)
    }

    /// Where tensor `tensor` of a member's sources lies, if they are in shared memory.
    pub(super) fn tensor_location(&self, member: usize, tensor: usize) -> usize {
        let announcement = &self.group.lane(member).announcements[self.parity];
        announcement.locations[tensor].load(Ordering::Relaxed) as usize
    }

    /// Where the half of a member's window lies that belongs to a barrier.
    pub(super) fn window(&self, member: usize, barrier: u32) -> usize {
        let window = self.group.lane(member).window.load(Ordering::Relaxed) as usize;
        window + (barrier % 2) as usize * self.half()
    }

    pub(super) fn address(&self, offset: usize, bytes: usize) -> *const u8 {
        self.group.connection.segment.address(offset, bytes)
    }

    /// How many rounds all members go through; the same number on each.
    pub(super) fn rounds(&self) -> usize {
        let size = self.group.members.len();
        let reduces = matches!(self.call.operation, Operation::ReduceScatter { .. });
        let staged = |member: usize| self.location(member).is_none() || reduces;
        (0..size)
            .filter(|member| staged(*member))
            .flat_map(|sender| (0..size).map(move |receiver| (sender, receiver)))
            .filter(|(sender, receiver)| reduces || sender != receiver)
            .map(|(sender, receiver)| {
                self.part(sender, receiver).bytes.div_ceil(self.piece_bytes())
            })
            .max()
            .unwrap_or(0)
            .max(1)
    }

    /// The piece of a part that can be pulled in a round: where it is, where in the part it
    /// begins, and its length.
    pub(super) fn piece(
        &self,
        member: usize,
        part: Part,
        round: usize,
    ) -> Option<(*const u8, usize, usize)> {
        if let Some(location) = self.location(member) {
            return (round == 0 && part.bytes > 0)
                .then(|| (self.address(location + part.offset, part.bytes), 0, part.bytes));
        }
        let start = self.piece_bytes() * round;
        let bytes = part.bytes.checked_sub(start)?.min(self.piece_bytes());
        if bytes == 0 {
            return None;
        }
        let slot = if self.is_whole() { 0 } else { self.group.index * self.piece_bytes() };
        let window = self.window(member, self.counters.arrived);
        Some((self.address(window + slot, bytes), start, bytes))
    }

    pub(super) fn open_window(&mut self) -> Result<(), TransportError> {
        if self.counters.window.is_none() {
            let size = (self.half() * 2).max(self.group.members.len() * LINE * 2);
            let block = self.group.connection.arena.allocate(size)?;
            let lane = self.group.lane(self.group.index);
            lane.window.store(block.offset as u64, Ordering::Relaxed);
            self.counters.window = Some(block);
        }
        Ok(())
    }

    /// Puts a round's pieces into the half of the window that belongs to the next barrier.
    fn stage(&mut self, round: usize) -> Result<(), TransportError> {
        let index = self.group.index;
        let own = self.call.sources.iter().map(|source| source.bytes).sum::<usize>();
        let staged = self.location(index).is_none() && own > 0;
        if !staged || self.group.members.len() == 1 {
            return Ok(());
        }
        self.open_window()?;
        let window = self.window(index, self.counters.arrived.wrapping_add(1));
        let piece = self.piece_bytes();
        let receivers = if self.is_whole() { 0..1 } else { 0..self.group.members.len() };
        for receiver in receivers {
            let part = self.part(index, receiver);
            let start = piece.saturating_mul(round);
            let bytes = part.bytes.saturating_sub(start).min(piece);
            if bytes == 0 || (receiver == index && !self.is_whole()) {
                continue;
            }
            let slot = self.address(window + receiver * piece, bytes).cast_mut();
            // SAFETY: the piece lies in the sources; its slot lies in our window, in the half that
            // nobody reads any more (see `Counters::window`).
            unsafe {
                match &self.call.operation {
                    Operation::Reshard(reshard) => {
                        self.pack(reshard, receiver, start..start + bytes, slot);
                    }
                    _ => copy(self.call.source().address.add(part.offset + start), slot, bytes),
                }
            }
            self.group.record_staged(bytes);
            self.group.connection.progress();
        }
        Ok(())
    }

    pub(super) fn arrive(&mut self) {
        self.counters.arrived = self.counters.arrived.wrapping_add(1);
        self.group.lane(self.group.index).arrived.store(self.counters.arrived);
    }

    pub(super) fn wait_for_all(&self, wait: &Wait<'_>) -> Result<(), TransportError> {
        for member in others(self.group) {
            let word = &self.group.lane(member).arrived;
            let rank = self.group.members[member];
            wait.until(word, self.counters.arrived, rank, Until::Advanced)?;
        }
        Ok(())
    }

    /// Stages and arrives for every round but the first, which was announced.
    pub(super) fn next_round(
        &mut self,
        round: usize,
        wait: &Wait<'_>,
    ) -> Result<(), TransportError> {
        if round > 0 {
            self.stage(round)?;
            self.arrive();
            self.wait_for_all(wait)?;
        }
        Ok(())
    }

    /// One more barrier where anyone's source was read in place.
    pub(super) fn release_sources(&mut self, wait: &Wait<'_>) -> Result<(), TransportError> {
        let size = self.group.members.len();
        if size > 1 && (0..size).any(|member| self.location(member).is_some()) {
            self.arrive();
            self.wait_for_all(wait)?;
        }
        Ok(())
    }

    /// # Safety
    /// As [`copy`].
    pub(super) unsafe fn pull(
        &self,
        source: *const u8,
        target: *mut u8,
        bytes: usize,
        wait: &Wait<'_>,
    ) -> Result<(), TransportError> {
        let mut done = 0;
        while done < bytes {
            let length = PIECE.min(bytes - done);
            // SAFETY: the caller's promise, for a part of the range.
            unsafe { copy(source.add(done), target.add(done), length) };
            done += length;
            self.group.connection.progress();
            if done < bytes {
                wait.look_round()?;
            }
        }
        Ok(())
    }
}
