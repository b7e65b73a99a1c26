//! The registers of 32 threads that run in step.

use std::collections::BTreeMap;

use crate::ptx::RegisterClass;

use super::async_copy::Copies;
use super::async_product::Products;
use super::phase_barrier::Wait;

/// Threads of a warp.
pub const LANES: usize = 32;

/// A register of every lane. Kept on whole cache lines, for the compiler's vector loads.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct Lanes<T>(pub [T; LANES]);

/// Lanes that go on together at the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// The basic block that they do next.
    pub block: usize,
    /// A bit per lane.
    pub lanes: u32,
}

/// The state of a warp.
#[derive(Default)]
pub struct Warp {
    /// Its number in the block of threads.
    pub index: u32,
    /// Registers of at most 32 bits; unused upper bits are 0.
    pub words: Vec<Lanes<u32>>,
    /// Registers of 64 bits.
    pub longs: Vec<Lanes<u64>>,
    /// Predicates: a bit per lane. The first is true in all lanes.
    pub predicates: Vec<u32>,
    /// The carry flag of `add.cc` and its kin: a bit per lane.
    pub carry: u32,
    /// Local memory: that of lane 0, then that of lane 1, and so on.
    pub local: Vec<u8>,
    /// Copies under way from global to shared memory.
    pub copies: Copies,
    /// Lanes that haven't ended, by where they go on.
    pub groups: Vec<Group>,
    /// Lanes that haven't ended.
    pub alive: u32,
    /// Products under way of matrices in shared memory.
    pub products: Products,
    /// Phases that it has seen end, by the barriers' addresses.
    pub seen: BTreeMap<u32, u64>,
    /// What it waits for, where it let others run.
    pub wait: Option<Wait>,
    /// Registers that it asked to have for each lane; none where it keeps what it began with.
    pub registers: Option<u32>,
}

/// What a slot of registers holds per lane.
pub trait Word: Copy + Default + 'static {
    /// Whether slots are those of 64 bits.
    const LONG: bool;

    /// The bits, in the lowest places.
    fn bits(self) -> u64;

    /// The lowest bits.
    fn truncate(bits: u64) -> Self;

    /// A register.
    fn lanes(warp: &Warp, slot: u32) -> &[Self; LANES];

    /// A register, to be written.
    fn lanes_mut(warp: &mut Warp, slot: u32) -> &mut [Self; LANES];
}

impl Word for u32 {
    const LONG: bool = false;

    #[inline(always)]
    fn bits(self) -> u64 {
        self.into()
    }

    #[inline(always)]
    fn truncate(bits: u64) -> u32 {
        bits as u32
    }

    #[inline(always)]
    fn lanes(warp: &Warp, slot: u32) -> &[u32; LANES] {
        &warp.words[slot as usize].0
    }

    #[inline(always)]
    fn lanes_mut(warp: &mut Warp, slot: u32) -> &mut [u32; LANES] {
        &mut warp.words[slot as usize].0
    }
}

impl Word for u64 {
    const LONG: bool = true;

    #[inline(always)]
    fn bits(self) -> u64 {
        self
    }

    #[inline(always)]
    fn truncate(bits: u64) -> u64 {
        bits
    }

    #[inline(always)]
    fn lanes(warp: &Warp, slot: u32) -> &[u64; LANES] {
        &warp.longs[slot as usize].0
    }

    #[inline(always)]
    fn lanes_mut(warp: &mut Warp, slot: u32) -> &mut [u64; LANES] {
        &mut warp.longs[slot as usize].0
    }
}

/// Whether registers of `class` are those that `W` reads and writes.
pub fn fits<W: Word>(class: RegisterClass) -> bool {
    match class {
        RegisterClass::Predicate => false,
        RegisterClass::Word(_) => !W::LONG,
        RegisterClass::Long => W::LONG,
    }
}

/// Writes `values` to the lanes of `mask`.
#[inline(always)]
pub fn commit<W: Word>(warp: &mut Warp, slot: u32, values: &[W; LANES], mask: u32) {
    let target = W::lanes_mut(warp, slot);
    if mask == u32::MAX {
        *target = *values;
    } else {
        for lane in 0..LANES {
            target[lane] = if mask >> lane & 1 == 1 { values[lane] } else { target[lane] };
        }
    }
}

/// Writes `bits` to the predicate of the lanes of `mask`.
#[inline(always)]
pub fn commit_predicate(warp: &mut Warp, slot: u32, bits: u32, mask: u32) {
    let target = &mut warp.predicates[slot as usize];
    *target = *target & !mask | bits & mask;
}

/// A bit per lane from a truth value per lane.
#[inline(always)]
pub fn bits_of(truths: &[bool; LANES]) -> u32 {
    let mut bits = 0;
    for group in 0..LANES / 8 {
        let mut eight = 0_u64;
        for lane in 0..8 {
            eight |= u64::from(truths[group * 8 + lane]) << (8 * lane);
        }
        // Gathers the lowest bit of each of eight bytes into the highest byte.
        let gathered = eight.wrapping_mul(0x0102_0408_1020_4080) >> 56;
        bits |= (gathered as u32) << (8 * group);
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_stand_where_truths_do() {
        for pattern in [0, 1, 0x8000_0000, 0xdead_beef, u32::MAX, 0x0f0f_1234] {
            let truths = std::array::from_fn(|lane| pattern >> lane & 1 == 1);
            assert_eq!(bits_of(&truths), pattern);
        }
    }
}
