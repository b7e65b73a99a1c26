//! Sharing tensors out along another dimension: every member pulls runs straight from where the
//! others have them to where they belong.

use super::movement::{Movement, PIECE};
use super::rows::{Rows, copy_rows};
use super::under_way::others;
use super::wait::Wait;
use crate::error::TransportError;
use crate::reshard::Reshard;
use std::ops::Range;

impl Movement<'_> {
    pub(super) fn reshard(
        &mut self,
        reshard: &Reshard,
        wait: &Wait<'_>,
    ) -> Result<(), TransportError> {
        let index = self.group.index;
        let element = self.call.dtype.size();
        for (tensor, source) in self.call.sources.iter().enumerate() {
            // SAFETY: the source is this member's tensor, and so is the target (see `check`).
            unsafe { self.pull_part(reshard, index, source.address, tensor, wait)? };
        }
        let targets: Vec<*mut u8> = self.call.targets.iter().map(|target| target.address).collect();
        for round in 0..self.rounds() {
            self.next_round(round, wait)?;
            for member in others(self.group) {
                if self.location(member).is_none() {
                    let part = self.part(member, index);
                    let Some((address, start, bytes)) = self.piece(member, part, round) else {
                        continue;
                    };
                    let range = start..start + bytes;
                    // SAFETY: the piece lies in the member's window, which it leaves alone until we
                    // arrive at the next barrier; the targets are our tensors.
                    unsafe { reshard.unpack((member, index), element, address, range, &targets) };
                    self.group.connection.progress();
                } else if round == 0 {
                    let bytes = reshard.shape_before(member).iter().product::<usize>() * element;
                    for tensor in 0..reshard.tensors {
                        let source = self.address(self.tensor_location(member, tensor), bytes);
                        // SAFETY: the member's tensor lies there, and it leaves it alone until we
                        // arrive at the next barrier.
                        unsafe { self.pull_part(reshard, member, source, tensor, wait)? };
                    }
                }
            }
        }
        self.release_sources(wait)
    }

    /// Copies what `sender` has for us of one tensor.
    ///
    /// # Safety
    /// `source` is the sender's tensor.
    unsafe fn pull_part(
        &self,
        reshard: &Reshard,
        sender: usize,
        source: *const u8,
        tensor: usize,
        wait: &Wait<'_>,
    ) -> Result<(), TransportError> {
        let element = self.call.dtype.size();
        let part = reshard.part(sender, self.group.index);
        if part.count() == 0 {
            return Ok(());
        }
        let target = self.call.targets[tensor].address;
        let bytes = part.count() * element;
        let run = part.run * element;
        let (from, to) = (part.source.row_stride * element, part.target.row_stride * element);
        let rows_at_once = (PIECE / run).max(1);
        for outer in 0..part.outer {
            // SAFETY: the runs of a part lie in the tensors of sender and receiver.
            let (source, target) = unsafe {
                let start = part.source.start + outer * part.source.outer_stride;
                let place = part.target.start + outer * part.target.outer_stride;
                (source.add(start * element), target.add(place * element))
            };
            if from == run && to == run {
                // SAFETY: as above; the rows follow each other on both sides.
                unsafe { self.pull(source, target, part.rows * run, wait)? };
                continue;
            }
            for first in (0..part.rows).step_by(rows_at_once) {
                let count = rows_at_once.min(part.rows - first);
                let rows = Rows { count, run, source_stride: from, target_stride: to };
                // SAFETY: as above.
                unsafe { copy_rows(source.add(first * from), target.add(first * to), rows, bytes) };
                self.group.connection.progress();
                if first + count < part.rows {
                    wait.look_round()?;
                }
            }
        }
        Ok(())
    }

    /// Packs `range` of what `receiver` is to get.
    ///
    /// # Safety
    /// As [`Reshard::pack`].
    pub(super) unsafe fn pack(
        &self,
        reshard: &Reshard,
        receiver: usize,
        range: Range<usize>,
        packed: *mut u8,
    ) {
        let sources: Vec<*const u8> =
            self.call.sources.iter().map(|source| source.address).collect();
        let pair = (self.group.index, receiver);
        // SAFETY: the caller's promise; the sources are whole tensors (see `check`).
        unsafe { reshard.pack(pair, self.call.dtype.size(), &sources, range, packed) };
    }
}
