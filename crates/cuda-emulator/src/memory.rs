//! Device memory: what is allocated, and what was.

use std::alloc::{Layout, alloc, dealloc};
use std::collections::{BTreeMap, VecDeque};
use std::ptr::NonNull;

/// Bytes kept unused before and after each allocation, so that the end of one is never the
/// beginning of another; and what every address is a multiple of, where CUDA promises 256.
const GUARD: usize = 4096;

/// Freed memory is kept from reuse until there is more of it than this: what uses it then is seen.
const QUARANTINE: usize = 64 << 20;

/// What memory that nobody wrote yet, or that was freed, is filled with: not-a-number in every
/// floating-point type.
pub const POISON: u8 = 0xff;

/// Addresses that belong to one allocation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Region {
    /// The first.
    pub start: u64,
    /// The one after the last.
    pub end: u64,
}

impl Region {
    /// Whether `bytes` bytes from `address` lie in it.
    pub fn holds(&self, address: u64, bytes: u64) -> bool {
        address >= self.start && address <= self.end && self.end - address >= bytes
    }
}

struct Allocation {
    pointer: NonNull<u8>,
    layout: Layout,
    bytes: usize,
}

impl Allocation {
    fn new(bytes: usize) -> Option<Allocation> {
        let size = bytes.checked_add(2 * GUARD)?;
        let layout = Layout::from_size_align(size, GUARD).ok()?;
        // SAFETY: the size isn't 0.
        let pointer = NonNull::new(unsafe { alloc(layout) })?;
        let allocation = Allocation { pointer, layout, bytes };
        allocation.poison();
        Some(allocation)
    }

    fn poison(&self) {
        // SAFETY: the range lies inside the allocation.
        unsafe { self.pointer.as_ptr().add(GUARD).write_bytes(POISON, self.bytes) };
    }

    fn region(&self) -> Region {
        let start = (self.pointer.as_ptr() as u64) + GUARD as u64;
        Region { start, end: start + self.bytes as u64 }
    }
}

impl Drop for Allocation {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, and dropped once.
        unsafe { dealloc(self.pointer.as_ptr(), self.layout) };
    }
}

// SAFETY: the memory belongs to the allocation alone; kernels and copies reach it by address,
// between `begin_use` and `end_use`.
unsafe impl Send for Allocation {}
// SAFETY: as above; a shared reference only tells the addresses.
unsafe impl Sync for Allocation {}

/// Why memory wasn't allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMemory {
    /// Bytes asked for.
    pub asked: usize,
    /// Bytes that were free.
    pub free: usize,
}

/// A device's memory.
pub struct Allocations {
    total: usize,
    used: usize,
    live: BTreeMap<u64, Allocation>,
    freed: VecDeque<Allocation>,
    freed_bytes: usize,
    running: usize,
}

impl Allocations {
    /// Memory of `total` bytes, all free.
    pub fn new(total: usize) -> Allocations {
        let (live, freed) = (BTreeMap::new(), VecDeque::new());
        Allocations { total, used: 0, live, freed, freed_bytes: 0, running: 0 }
    }

    /// All bytes.
    pub fn total(&self) -> usize {
        self.total
    }

    /// Bytes that aren't allocated.
    pub fn free_bytes(&self) -> usize {
        self.total - self.used
    }

    /// Allocates; gives the address. The memory is poisoned.
    pub fn allocate(&mut self, bytes: usize) -> Result<u64, OutOfMemory> {
        let refused = OutOfMemory { asked: bytes, free: self.free_bytes() };
        if bytes > refused.free {
            return Err(refused);
        }
        let allocation = Allocation::new(bytes).ok_or(refused)?;
        let start = allocation.region().start;
        self.used += bytes;
        self.live.insert(start, allocation);
        Ok(start)
    }

    /// Frees what begins at `address`; false where nothing does.
    pub fn free(&mut self, address: u64) -> bool {
        let Some(allocation) = self.live.remove(&address) else { return false };
        allocation.poison();
        self.used -= allocation.bytes;
        self.freed_bytes += allocation.bytes;
        self.freed.push_back(allocation);
        self.reuse();
        true
    }

    /// Gives the oldest freed memory back to the host, unless a kernel runs: it checked addresses
    /// that it goes on using.
    fn reuse(&mut self) {
        while self.running == 0
            && self.freed_bytes > QUARANTINE
            && let Some(oldest) = self.freed.pop_front()
        {
            self.freed_bytes -= oldest.bytes;
        }
    }

    /// A kernel or copy begins: memory that was allocated when it checked stays the process's.
    pub fn begin_use(&mut self) {
        self.running += 1;
    }

    /// It ended.
    pub fn end_use(&mut self) {
        self.running -= 1;
        self.reuse();
    }

    /// The allocation that `address` lies in or stands right behind.
    pub fn region(&self, address: u64) -> Option<Region> {
        let (_, allocation) = self.live.range(..=address).next_back()?;
        let region = allocation.region();
        (address <= region.end).then_some(region)
    }

    /// Whether `bytes` bytes from `address` are allocated, all in one piece.
    pub fn holds(&self, address: u64, bytes: u64) -> bool {
        self.region(address).is_some_and(|region| region.holds(address, bytes))
    }

    /// What an address that isn't allocated is near to, for messages.
    pub fn describe(&self, address: u64) -> String {
        for allocation in &self.freed {
            let region = allocation.region();
            if region.holds(address, 1) {
                let offset = address - region.start;
                let bytes = allocation.bytes;
                return format!("byte {offset} of {bytes} bytes that were freed");
            }
        }
        let before = self.live.range(..=address).next_back();
        let after = self.live.range(address..).next();
        let behind = before.map(|(_, allocation)| {
            let distance = address.saturating_sub(allocation.region().end);
            let bytes = allocation.bytes;
            (distance, format!("{distance} bytes behind the end of an allocation of {bytes} bytes"))
        });
        let ahead = after.map(|(start, allocation)| {
            let distance = start - address;
            let bytes = allocation.bytes;
            (distance, format!("{distance} bytes before an allocation of {bytes} bytes"))
        });
        let near = behind.into_iter().chain(ahead).min();
        match near {
            Some((distance, text)) if distance < 1 << 40 => text,
            _ => "near no allocation".to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_is_used_and_refuses_more() {
        let mut memory = Allocations::new(1000);
        let first = memory.allocate(600).unwrap();
        assert_eq!(first % 256, 0);
        assert_eq!(memory.allocate(500), Err(OutOfMemory { asked: 500, free: 400 }));
        assert!(memory.free(first));
        assert!(!memory.free(first));
        assert_eq!(memory.free_bytes(), 1000);
        assert!(memory.allocate(1000).is_ok());
    }

    #[test]
    fn tells_what_is_allocated_to_the_byte() {
        let mut memory = Allocations::new(1 << 20);
        let address = memory.allocate(100).unwrap();
        assert!(memory.holds(address, 100) && memory.holds(address + 96, 4));
        assert!(!memory.holds(address, 101) && !memory.holds(address + 97, 4));
        assert!(!memory.holds(address - 1, 1));
        assert!(memory.describe(address + 104).starts_with("4 bytes behind"));
        assert!(memory.describe(address - 8).starts_with("8 bytes before"));
        memory.free(address);
        assert!(!memory.holds(address, 1));
        assert_eq!(memory.describe(address + 4), "byte 4 of 100 bytes that were freed");
    }
}
