//! A rank's part of the shared memory, given out in blocks.

use super::segment::Segment;
use crate::error::{ErrorCode, TransportError};
use crate::process_group::SharedAllocation;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

/// Blocks start at cache lines; from a page on, at pages.
const LINE: usize = 64;
const PAGE: usize = 4096;

/// Gives out blocks of one rank's arena, lowest first, so that pages once touched are used again.
pub(crate) struct Arena {
    segment: Arc<Segment>,
    rank: usize,
    free: Mutex<Free>,
}

struct Free {
    /// Free ranges by their start, never adjacent.
    ranges: BTreeMap<usize, usize>,
    /// Up to here the system has found pages.
    reserved: usize,
}

impl Arena {
    pub(crate) fn new(segment: Arc<Segment>, rank: usize) -> Arc<Arena> {
        let start = segment.layout.arena(rank);
        let ranges = BTreeMap::from([(start, segment.layout.arena_bytes)]);
        Arc::new(Arena { segment, rank, free: Mutex::new(Free { ranges, reserved: start }) })
    }

    fn lock(&self) -> MutexGuard<'_, Free> {
        self.free.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// A block of `bytes` bytes; what it holds is left from before.
    pub(crate) fn allocate(self: &Arc<Self>, bytes: usize) -> Result<Block, TransportError> {
        let alignment = if bytes < PAGE { LINE } else { PAGE };
        let mut free = self.lock();
        let length = bytes.max(1).checked_next_multiple_of(alignment);
        let found = length.and_then(|length| {
            free.ranges.iter().find_map(|(&start, &range)| {
                let skipped = start.next_multiple_of(alignment) - start;
                (range.checked_sub(skipped)? >= length).then_some((start, range, skipped, length))
            })
        });
        let Some((start, range, skipped, length)) = found else {
            let left: usize = free.ranges.values().sum();
            let expected = format!(
                "the rank's {} bytes have {left} bytes left, not all in one piece; the launcher's \
                 arenaBytes gives each rank more",
                self.segment.layout.arena_bytes
            );
            let found = format!("{bytes} bytes");
            return Err(TransportError::new(
                ErrorCode::OutOfSharedMemory,
                self.rank,
                expected,
                found,
            ));
        };
        let offset = start + skipped;
        let end = offset + length;
        if end > free.reserved {
            let reserved = free.reserved;
            self.segment.reserve(reserved, end - reserved, self.rank)?;
            free.reserved = end;
        }
        free.ranges.remove(&start);
        if skipped > 0 {
            free.ranges.insert(start, skipped);
        }
        if start + range > end {
            free.ranges.insert(end, start + range - end);
        }
        Ok(Block { arena: self.clone(), offset, length, bytes })
    }

    fn release(&self, offset: usize, length: usize) {
        let mut free = self.lock();
        let (mut start, mut end) = (offset, offset + length);
        if let Some((&before, &range)) = free.ranges.range(..offset).next_back()
            && before + range == offset
        {
            free.ranges.remove(&before);
            start = before;
        }
        if let Some(range) = free.ranges.remove(&end) {
            end += range;
        }
        free.ranges.insert(start, end - start);
    }
}

/// A block of the arena, given back when dropped.
pub(crate) struct Block {
    arena: Arc<Arena>,
    pub(crate) offset: usize,
    length: usize,
    bytes: usize,
}

impl SharedAllocation for Block {
    fn address(&self) -> *mut u8 {
        self.arena.segment.address(self.offset, self.bytes)
    }

    fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.arena.release(self.offset, self.length);
    }
}

#[cfg(test)]
mod tests {
    use super::super::segment::Layout;
    use super::*;

    fn arena(bytes: usize) -> Arc<Arena> {
        Arena::new(Arc::new(Segment::create(Layout::new(2, bytes)).unwrap()), 1)
    }

    #[test]
    fn blocks_are_aligned_apart_and_writable() {
        let arena = arena(2 << 20);
        let blocks: Vec<Block> = [1, 64, 65, 4096, 10_000, 0]
            .iter()
            .map(|bytes| arena.allocate(*bytes).unwrap())
            .collect();
        for (index, block) in blocks.iter().enumerate() {
            assert!((block.address() as usize).is_multiple_of(64));
            // SAFETY: the block is ours.
            unsafe { block.address().write_bytes(index as u8, block.bytes()) };
        }
        for (index, block) in blocks.iter().enumerate() {
            // SAFETY: as above; written just now.
            let bytes = unsafe { std::slice::from_raw_parts(block.address(), block.bytes()) };
            assert!(bytes.iter().all(|byte| *byte == index as u8));
        }
    }

    #[test]
    fn what_is_given_back_is_whole_again() {
        let arena = arena(2 << 20);
        let all = arena.segment.layout.arena_bytes;
        let mut blocks: Vec<Block> = (0..8).map(|_| arena.allocate(all / 8).unwrap()).collect();
        let error = arena.allocate(1).err().unwrap();
        assert_eq!(error.code, ErrorCode::OutOfSharedMemory);
        // Every other one first, then the rest: neighbours grow together on both sides.
        for index in [6, 4, 2, 0] {
            drop(blocks.remove(index));
        }
        assert!(arena.allocate(all / 4).is_err());
        drop(blocks);
        assert_eq!(arena.lock().ranges.len(), 1);
        assert_eq!(arena.allocate(all).unwrap().bytes(), all);
        assert!(arena.allocate(usize::MAX).is_err());
    }
}
