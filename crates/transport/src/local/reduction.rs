//! Sums over members: each sums what it is to hold, or a slice of it, in the members' order.

use super::copy::copy;
use super::movement::Movement;
use super::under_way::others;
use super::wait::Wait;
use crate::error::TransportError;
use crate::sum::sum;

/// Up to here every member sums everything itself, which saves a barrier.
const SUM_ALONE: usize = 32 << 10;

impl Movement<'_> {
    pub(super) fn reduce_scatter(&mut self, wait: &Wait<'_>) -> Result<(), TransportError> {
        let index = self.group.index;
        let element = self.call.dtype.size();
        let members = self.group.members.len();
        let part = self.part(index, index);
        for round in 0..self.rounds() {
            self.next_round(round, wait)?;
            let start = self.piece_bytes().saturating_mul(round);
            let Some(bytes) =
                part.bytes.checked_sub(start).map(|left| left.min(self.piece_bytes()))
            else {
                continue;
            };
            if bytes == 0 {
                continue;
            }
            let terms: Vec<*const u8> = (0..members)
                .map(|member| match self.location(member) {
                    // SAFETY: the part lies in the source.
                    _ if member == index => unsafe {
                        self.call.source().address.add(part.offset + start)
                    },
                    Some(location) => self.address(location + part.offset + start, bytes),
                    None => self.address(
                        self.window(member, self.counters.arrived) + index * self.piece_bytes(),
                        bytes,
                    ),
                })
                .collect();
            // SAFETY: terms and target have as many bytes, aligned (see `check`; windows and parts
            // in them are aligned to lines), and nobody writes them until we arrive again.
            unsafe {
                let target = self.call.target().address.add(start);
                sum(self.call.dtype, &terms, target, bytes / element);
            }
            self.group.connection.progress();
        }
        self.release_sources(wait)
    }

    pub(super) fn all_reduce(
        &mut self,
        count: usize,
        wait: &Wait<'_>,
    ) -> Result<(), TransportError> {
        let (index, members) = (self.group.index, self.group.members.len());
        let element = self.call.dtype.size();
        let total = count * element;
        let chunk = self.half();
        for round in 0..total.div_ceil(chunk).max(1) {
            self.next_round(round, wait)?;
            let start = round * chunk;
            let bytes = chunk.min(total - start);
            if bytes == 0 {
                continue;
            }
            let terms: Vec<*const u8> = (0..members)
                .map(|member| match self.location(member) {
                    // SAFETY: the chunk lies in the source.
                    _ if member == index => unsafe { self.call.source().address.add(start) },
                    Some(location) => self.address(location + start, bytes),
                    None => self.address(self.window(member, self.counters.arrived), bytes),
                })
                .collect();
            // SAFETY: the chunk lies in the target.
            let target = unsafe { self.call.target().address.add(start) };
            if total <= SUM_ALONE {
                // SAFETY: as in `reduce_scatter`.
                unsafe { sum(self.call.dtype, &terms, target, bytes / element) };
                continue;
            }
            let slice = |member: usize| {
                let per = (bytes / element).div_ceil(members) * element;
                let from = (per * member).min(bytes);
                (from, (per * (member + 1)).min(bytes) - from)
            };
            let (from, length) = slice(index);
            // SAFETY: the slice lies in every term.
            let terms: Vec<_> = terms.iter().map(|term| unsafe { term.add(from) }).collect();
            let next = self.counters.arrived.wrapping_add(1);
            self.open_window()?;
            let own = self.window(index, next);
            // SAFETY: as above; the window's other half is ours until we arrive, and has room for
            // a slice of a chunk.
            unsafe {
                let result = self.address(own, length).cast_mut();
                sum(self.call.dtype, &terms, result, length / element);
                copy(result, target.add(from), length);
            }
            self.arrive();
            self.wait_for_all(wait)?;
            for member in others(self.group) {
                let (from, length) = slice(member);
                let source = self.address(self.window(member, next), length);
                // SAFETY: the member's slice of sums, and its place in the target.
                unsafe { self.pull(source, target.add(from), length, wait)? };
            }
        }
        if total <= SUM_ALONE { self.release_sources(wait) } else { Ok(()) }
    }
}
