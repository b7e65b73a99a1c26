//! Mapped blocks that tensors have given back, kept for the next of their size.
//!
//! New pages are costly to touch for the first time: the kernel zeroes them, and under a hypervisor each
//! may have to be mapped by the host as well, where processes wait for each other. A model's layers ask
//! for the same sizes over and over.

#[cfg(target_os = "linux")]
use memmap2::Advice;
use memmap2::MmapMut;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};

/// The most bytes that are kept.
const MOST_SPARE: usize = 2 << 30;

static SPARE: Mutex<SpareBlocks> = Mutex::new(SpareBlocks::new(MOST_SPARE));

fn spare() -> MutexGuard<'static, SpareBlocks> {
    SPARE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// A block of `bytes` bytes, new or not; `None` where the system has no memory. `live` are the bytes of
/// all blocks in use, this one among them.
pub(crate) fn take(bytes: usize, live: usize) -> Option<MmapMut> {
    // Blocks to unmap are dropped when the lock is no longer held.
    let (kept, _given_up) = spare().take(bytes, live);
    kept.or_else(|| map(bytes)).or_else(|| {
        release();
        map(bytes)
    })
}

/// Keeps a block that is in use no longer, or unmaps it; `live` are the bytes of those that are.
pub(crate) fn give(block: MmapMut, live: usize) {
    let _given_up = spare().give(block, live);
}

/// Unmaps what is kept.
pub(crate) fn release() {
    let _given_up = spare().release();
}

fn map(bytes: usize) -> Option<MmapMut> {
    let map = MmapMut::map_anon(bytes).ok()?;
    // Advice: a kernel without huge pages refuses it, and nothing is lost.
    #[cfg(target_os = "linux")]
    let _ = map.advise(Advice::HugePage);
    Some(map)
}

/// Blocks in the order in which they came. Together with those in use they never have more bytes than
/// were in use at one time: so a process takes no more memory than its tensors have needed.
struct SpareBlocks {
    blocks: VecDeque<MmapMut>,
    bytes: usize,
    /// The most bytes in use at one time, since the last release.
    peak: usize,
    most: usize,
}

impl SpareBlocks {
    const fn new(most: usize) -> SpareBlocks {
        SpareBlocks { blocks: VecDeque::new(), bytes: 0, peak: 0, most }
    }

    /// The block of that size that came last, if there is one; and those to give up instead of it.
    fn take(&mut self, bytes: usize, live: usize) -> (Option<MmapMut>, Vec<MmapMut>) {
        self.peak = self.peak.max(live);
        if let Some(place) = self.blocks.iter().rposition(|block| block.len() == bytes) {
            self.bytes -= bytes;
            return (self.blocks.remove(place), Vec::new());
        }
        (None, self.fit(live))
    }

    fn give(&mut self, block: MmapMut, live: usize) -> Vec<MmapMut> {
        self.peak = self.peak.max(live + block.len());
        self.bytes += block.len();
        self.blocks.push_back(block);
        self.fit(live)
    }

    fn release(&mut self) -> Vec<MmapMut> {
        self.peak = 0;
        self.bytes = 0;
        std::mem::take(&mut self.blocks).into()
    }

    /// The oldest blocks that are too many beside `live` bytes.
    fn fit(&mut self, live: usize) -> Vec<MmapMut> {
        let room = self.peak.saturating_sub(live).min(self.most);
        let mut given_up = Vec::new();
        while self.bytes > room
            && let Some(block) = self.blocks.pop_front()
        {
            self.bytes -= block.len();
            given_up.push(block);
        }
        given_up
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 4096;
    const NONE: [usize; 0] = [];

    fn block(pages: usize) -> MmapMut {
        MmapMut::map_anon(pages * PAGE).unwrap()
    }

    fn pages(blocks: &[MmapMut]) -> Vec<usize> {
        blocks.iter().map(|block| block.len() / PAGE).collect()
    }

    /// Asks for a block while `live` pages are in use, this one apart; says whether it was there.
    fn takes(spare: &mut SpareBlocks, wanted: usize, live: usize) -> (bool, Vec<usize>) {
        let (kept, given_up) = spare.take(wanted * PAGE, (live + wanted) * PAGE);
        assert!(kept.as_ref().is_none_or(|block| block.len() == wanted * PAGE));
        (kept.is_some(), pages(&given_up))
    }

    fn gives(spare: &mut SpareBlocks, given: usize, live: usize) -> Vec<usize> {
        pages(&spare.give(block(given), live * PAGE))
    }

    #[test]
    fn a_block_is_used_again_for_its_own_size() {
        let mut spare = SpareBlocks::new(usize::MAX);
        assert_eq!(takes(&mut spare, 3, 10), (false, vec![]));
        assert_eq!(gives(&mut spare, 3, 10), NONE);
        assert_eq!(takes(&mut spare, 3, 10), (true, vec![]));
        assert_eq!(takes(&mut spare, 3, 13), (false, vec![]));
    }

    #[test]
    fn no_more_is_held_than_was_in_use_at_one_time() {
        let mut spare = SpareBlocks::new(usize::MAX);
        // Ten pages at most: of 4, 3 and 2 that are free, with one in use, all may stay.
        assert_eq!(gives(&mut spare, 4, 6), NONE);
        assert_eq!(gives(&mut spare, 3, 3), NONE);
        assert_eq!(gives(&mut spare, 2, 1), NONE);
        // A page more takes the oldest.
        assert_eq!(takes(&mut spare, 1, 1), (false, vec![4]));
        assert_eq!(takes(&mut spare, 5, 2), (false, vec![3]));
        assert_eq!(takes(&mut spare, 2, 7), (true, vec![]));
        // More than ever before is in use: nothing else is kept.
        assert_eq!(gives(&mut spare, 2, 7), NONE);
        assert_eq!(takes(&mut spare, 9, 7), (false, vec![2]));
        assert_eq!(spare.bytes, 0);
    }

    #[test]
    fn there_is_a_bound_and_a_release() {
        let mut spare = SpareBlocks::new(5 * PAGE);
        assert_eq!(gives(&mut spare, 3, 100), NONE);
        assert_eq!(gives(&mut spare, 2, 98), NONE);
        assert_eq!(gives(&mut spare, 1, 97), [3]);
        assert_eq!(gives(&mut spare, 6, 91), [2, 1, 6]);
        assert_eq!(gives(&mut spare, 2, 90), NONE);
        assert_eq!(pages(&spare.release()), [2]);
        assert_eq!((spare.bytes, spare.blocks.len()), (0, 0));
        // What was in use before the release counts no longer.
        assert_eq!(takes(&mut spare, 1, 4), (false, vec![]));
        assert_eq!(gives(&mut spare, 1, 4), NONE);
        assert_eq!(gives(&mut spare, 2, 2), NONE);
    }
}
