//! The threads that share memory: their warps and what these share.

use std::sync::Mutex;

use crate::memory::{Allocations, POISON, Region};
use crate::ptx::Special;

use super::async_product::Reading;
use super::async_registers::RegisterUse;
use super::meeting::Meetings;
use super::phase_barrier::PhaseBarriers;
use super::program::{Fill, Program};
use super::tensor_copy::TensorCopies;
use super::warp::{LANES, Lanes, Warp};

/// What a launch asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Blocks along each axis.
    pub grid: [u32; 3],
    /// Threads of a block along each axis.
    pub threads: [u32; 3],
    /// Bytes of dynamic shared memory.
    pub dynamic_shared: u32,
}

impl Shape {
    /// Threads of a block.
    pub fn thread_count(&self) -> u32 {
        self.threads.iter().product()
    }

    /// Warps of a block.
    pub fn warps(&self) -> u32 {
        self.thread_count().div_ceil(LANES as u32)
    }
}

/// A block of threads; used for one after another.
pub struct ThreadBlock<'a> {
    /// The device's memory.
    pub memory: &'a Mutex<Allocations>,
    /// The allocation that each instruction used last, by [`super::step::Step::cache`].
    pub cached: Vec<Region>,
    /// Shared memory.
    pub shared: Vec<u8>,
    /// Which block it is.
    pub index: [u32; 3],
    /// The kernel's arguments.
    pub parameters: Vec<u8>,
    /// Barriers by number.
    pub meetings: Meetings,
    /// Barriers in shared memory.
    pub phases: PhaseBarriers,
    /// Copies of boxes of tensors.
    pub tensor_copies: TensorCopies,
    /// Shared memory that products under way read.
    pub readings: Vec<Reading>,
    /// Grows with whatever may let a waiting warp go on.
    pub progress: u64,
    /// Most basic blocks that a warp may do from one barrier to the next.
    pub patience: u64,
}

/// What [`ThreadBlock::patience`] is at first: seconds to minutes of a loop.
const PATIENCE: u64 = 1 << 29;

/// Makes a block and its warps, whose registers hold what doesn't change from block to block.
pub fn prepare<'a>(
    program: &Program,
    memory: &'a Mutex<Allocations>,
    shape: &Shape,
    parameters: &[u8],
) -> (ThreadBlock<'a>, Vec<Warp>) {
    let shared = vec![POISON; program.shared_bytes(shape.dynamic_shared)];
    let cached = vec![Region::default(); program.caches as usize];
    let block = ThreadBlock {
        memory,
        cached,
        shared,
        index: [0; 3],
        parameters: parameters.to_vec(),
        meetings: Meetings::default(),
        phases: PhaseBarriers::new(),
        tensor_copies: TensorCopies::default(),
        readings: Vec::new(),
        progress: 0,
        patience: PATIENCE,
    };
    let warps = (0..shape.warps())
        .map(|index| {
            let mut warp = Warp {
                index,
                words: vec![Lanes([0; LANES]); program.words as usize],
                longs: vec![Lanes([0; LANES]); program.longs as usize],
                predicates: vec![0; program.predicates as usize],
                local: vec![POISON; program.local_bytes * LANES],
                ..Warp::default()
            };
            warp.predicates[0] = u32::MAX;
            if program.multiplies {
                warp.products.uses = vec![RegisterUse::default(); program.words as usize];
            }
            for (slot, fill) in &program.fills {
                match *fill {
                    Fill::Word(value) => warp.words[*slot as usize] = Lanes([value; LANES]),
                    Fill::Long(value) => warp.longs[*slot as usize] = Lanes([value; LANES]),
                    Fill::WordParameter { offset, bytes, signed } => {
                        let value = parameter(parameters, offset, bytes, signed) as u32;
                        warp.words[*slot as usize] = Lanes([value; LANES]);
                    }
                    Fill::LongParameter { offset, bytes, signed } => {
                        let value = parameter(parameters, offset, bytes, signed);
                        warp.longs[*slot as usize] = Lanes([value; LANES]);
                    }
                    Fill::Special(special) => {
                        let of = |lane| special_value(special, shape, index, lane as u32);
                        warp.words[*slot as usize] = Lanes(std::array::from_fn(of));
                    }
                }
            }
            warp
        })
        .collect();
    (block, warps)
}

fn parameter(parameters: &[u8], offset: usize, bytes: usize, signed: bool) -> u64 {
    let mut value = [0; 8];
    value[..bytes].copy_from_slice(&parameters[offset..offset + bytes]);
    let value = u64::from_le_bytes(value);
    let unused = 64 - 8 * bytes as u32;
    if signed { (((value << unused) as i64) >> unused) as u64 } else { value }
}

fn special_value(special: Special, shape: &Shape, warp: u32, lane: u32) -> u32 {
    let thread = warp * LANES as u32 + lane;
    let [across, down, _] = shape.threads;
    match special {
        Special::Thread(0) => thread % across,
        Special::Thread(1) => thread / across % down,
        Special::Thread(_) => thread / across / down,
        Special::Threads(axis) => shape.threads[axis],
        Special::Blocks(axis) => shape.grid[axis],
        // Written when each block begins.
        Special::Block(_) => 0,
        Special::Lane => lane,
        Special::Warp => warp,
        Special::Warps => shape.warps(),
        Special::LanesEqual => 1 << lane,
        Special::LanesBelow => (1 << lane) - 1,
        Special::LanesUpTo => u32::MAX >> (31 - lane),
        Special::LanesAbove => !(u32::MAX >> (31 - lane)),
        Special::LanesFrom => !((1 << lane) - 1),
        Special::WarpSize => LANES as u32,
        Special::DynamicShared => shape.dynamic_shared,
    }
}
