//! What lies in the shared file beside the arenas. Everything is atomic, so a reference to it may
//! be shared with other processes; each part says who writes it. All zeros is the valid beginning.

use super::futex::Word;
use crate::descriptor::Descriptor;
use crate::reshard::MAX_TENSORS;
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering, fence};

/// "wan-rank" and the version of this layout: ranks of another build are refused.
pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"wanrank2");

/// The first bytes of the file. The launcher writes it before any rank is there, except for what is
/// noted.
#[repr(C)]
pub(crate) struct Header {
    pub magic: AtomicU64,
    pub world: AtomicU32,
    pub lanes: AtomicU32,
    pub arena_bytes: AtomicU64,
    pub launcher: AtomicU32,
    /// The first lane that no group has; groups' first members add to it.
    pub next_lane: AtomicU32,
    /// The first fault, by whichever rank sees it first; see `fault.rs`.
    pub fault: AtomicU64,
}

/// One rank's block, written by that rank.
#[repr(C)]
pub(crate) struct RankBlock {
    pub pid: AtomicU32,
    pub state: AtomicU32,
    /// `clock::now()` of the last sign of life.
    pub heartbeat: AtomicU64,
    /// Grows with every piece that the rank copies.
    pub progress: AtomicU64,
    /// 1 while the rank completes a collective. One that has only started it may compute for as
    /// long as it likes.
    pub moving: AtomicU32,
    /// Collectives entered and left.
    pub entered: AtomicU64,
    pub left: AtomicU64,
    /// The last collective entered: its kind, and its number in its group.
    pub kind: AtomicU32,
    pub sequence: AtomicU64,
    /// Where the rank says it is.
    pub position: Text<128>,
    /// Why it failed.
    pub failure: Text<1024>,
}

/// Values of [`RankBlock::state`].
pub(crate) mod state {
    pub const ABSENT: u32 = 0;
    pub const RUNNING: u32 = 1;
    pub const DONE: u32 = 2;
    pub const FAILED: u32 = 3;
}

/// A short text with one writer. Readers that meet a write look again.
#[repr(C)]
pub(crate) struct Text<const BYTES: usize> {
    version: AtomicU32,
    length: AtomicU16,
    bytes: [std::sync::atomic::AtomicU8; BYTES],
}

impl<const BYTES: usize> Text<BYTES> {
    /// Replaces the text by as much of `text` as there is room for.
    pub(crate) fn write(&self, text: &str) {
        let mut length = text.len().min(BYTES);
        while !text.is_char_boundary(length) {
            length -= 1;
        }
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        self.length.store(length as u16, Ordering::Relaxed);
        for (cell, byte) in self.bytes.iter().zip(text.as_bytes()) {
            cell.store(*byte, Ordering::Relaxed);
        }
        self.version.store(version.wrapping_add(2), Ordering::Release);
    }

    /// The text. A writer that was killed half-way leaves what is there, as far as it is text.
    pub(crate) fn read(&self) -> String {
        let mut bytes = Vec::new();
        for _ in 0..1000 {
            let before = self.version.load(Ordering::Acquire);
            let length = usize::from(self.length.load(Ordering::Relaxed)).min(BYTES);
            bytes = self.bytes[..length].iter().map(|byte| byte.load(Ordering::Relaxed)).collect();
            fence(Ordering::Acquire);
            if before.is_multiple_of(2) && self.version.load(Ordering::Relaxed) == before {
                break;
            }
            std::thread::yield_now();
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// A descriptor in shared memory, published by a counter that is stored after it.
#[repr(C)]
pub(crate) struct DescriptorCell([AtomicU64; 8]);

impl DescriptorCell {
    pub(crate) fn write(&self, descriptor: &Descriptor) {
        for (cell, word) in self.0.iter().zip(descriptor.words) {
            cell.store(word, Ordering::Relaxed);
        }
    }

    pub(crate) fn read(&self) -> Descriptor {
        Descriptor { words: std::array::from_fn(|word| self.0[word].load(Ordering::Relaxed)) }
    }
}

/// A member's announcement of a collective. There are two, used in turn: a member may announce the
/// next collective while others still read this one, but not the one after, since it passes the
/// next one's barrier only once all have come to it.
#[repr(C)]
pub(crate) struct Announcement {
    pub descriptor: DescriptorCell,
    /// Where the sources lie in the file; the first is 0 where they come through the window. For a
    /// split: the new groups' first lane.
    pub locations: [AtomicU64; MAX_TENSORS],
}

/// A member's lane in a group, written by that member. Two tables of sizes and the mailboxes
/// follow it.
#[repr(C)]
pub(crate) struct Lane {
    /// Barriers arrived at.
    pub arrived: Word,
    /// Where the staging window for collectives lies in the file, or 0.
    pub window: AtomicU64,
    pub announcements: [Announcement; 2],
}

/// What one member sends to one other; in the sender's lane.
#[repr(C)]
pub(crate) struct Mailbox {
    /// Exchanges that the sender has announced, and the receiver has. Both count alike, from 1.
    pub offered: Word,
    pub wanted: Word,
    /// Pieces that the sender has put there, and the receiver has taken.
    pub posted: Word,
    pub taken: Word,
    /// Where the staging window lies, or 0.
    pub window: AtomicU64,
    /// Where the source lies, or 0 where it is staged; and both sides' descriptors. Two of each are
    /// used in turn as in [`Lane::announcements`].
    pub locations: [AtomicU64; 2],
    pub offers: [DescriptorCell; 2],
    pub wants: [DescriptorCell; 2],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_at_a_character() {
        // SAFETY: atomics of zeros are valid.
        let text: Text<8> = unsafe { std::mem::zeroed() };
        assert_eq!(text.read(), "");
        text.write("step 3");
        assert_eq!(text.read(), "step 3");
        text.write("1234567é");
        assert_eq!(text.read(), "1234567");
    }
}
