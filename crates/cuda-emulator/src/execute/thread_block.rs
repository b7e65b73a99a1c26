//! The threads that share memory: their warps, from barrier to barrier.

use std::sync::Mutex;

use crate::memory::{Allocations, POISON, Region};
use crate::ptx::{Special, Terminator};

use super::fault::{Fault, FaultKind, Outcome};
use super::program::{Fill, Program};
use super::warp::{Group, LANES, Lanes, Warp};

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
    /// Most basic blocks that a warp may do from one barrier to the next.
    pub patience: u64,
}

/// What [`ThreadBlock::patience`] is at first: seconds to minutes of a loop.
const PATIENCE: u64 = 1 << 29;

/// Where a warp came to.
enum Stop {
    /// At a barrier.
    Barrier(u32),
    /// All its lanes ended.
    Ended,
}

/// Makes a block and its warps, whose registers hold what doesn't change from block to block.
pub fn prepare<'a>(
    program: &Program,
    memory: &'a Mutex<Allocations>,
    shape: &Shape,
    parameters: &[u8],
) -> (ThreadBlock<'a>, Vec<Warp>) {
    let shared = vec![POISON; program.shared_bytes(shape.dynamic_shared)];
    let cached = vec![Region::default(); program.caches as usize];
    let block = ThreadBlock { memory, cached, shared, index: [0; 3], patience: PATIENCE };
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

impl ThreadBlock<'_> {
    /// Runs block `index` of the grid to its end.
    pub fn run(
        &mut self,
        program: &Program,
        warps: &mut [Warp],
        shape: &Shape,
        index: [u32; 3],
    ) -> Outcome {
        self.index = index;
        self.shared.fill(POISON);
        let threads = shape.thread_count();
        for warp in warps.iter_mut() {
            let lanes = (threads - warp.index * LANES as u32).min(LANES as u32);
            warp.alive = u32::MAX >> (LANES as u32 - lanes);
            warp.groups.clear();
            warp.groups.push(Group { block: 0, lanes: warp.alive });
            warp.copies.clear();
            warp.local.fill(POISON);
            for (slot, axis) in &program.block_indices {
                warp.words[*slot as usize] = Lanes([index[*axis]; LANES]);
            }
        }
        let mut phase = index[0].wrapping_add(index[1]).wrapping_add(index[2]);
        loop {
            let mut barrier = None;
            let count = warps.len();
            for turn in 0..count {
                // Every other phase runs the warps backwards, so that a result that needs a
                // barrier which isn't there differs.
                let place = if phase.is_multiple_of(2) { turn } else { count - 1 - turn };
                let warp = &mut warps[place];
                if warp.alive == 0 {
                    continue;
                }
                match self.run_warp(program, warp, shape)? {
                    Stop::Ended => {}
                    Stop::Barrier(number) => {
                        if barrier.is_some_and(|other| other != number) {
                            let message = "warps of a block wait at different barriers";
                            return Err(Fault::new(FaultKind::LaunchFailed, 0, message));
                        }
                        barrier = Some(number);
                    }
                }
            }
            if barrier.is_none() {
                return Ok(());
            }
            phase = phase.wrapping_add(1);
        }
    }

    fn run_warp(
        &mut self,
        program: &Program,
        warp: &mut Warp,
        shape: &Shape,
    ) -> Result<Stop, Box<Fault>> {
        let mut patience = self.patience;
        loop {
            let Some(group) = next_group(&mut warp.groups) else { return Ok(Stop::Ended) };
            let block = &program.blocks[group.block];
            if patience == 0 {
                let lane = group.lanes.trailing_zeros();
                let mut fault =
                    Fault::new(FaultKind::Timeout, lane, "a loop that doesn't seem to end");
                fault.line = block.line;
                fault.place = program.place(block.line, warp.index, lane, self, shape);
                return Err(fault);
            }
            patience -= 1;
            let mut lanes = group.lanes;
            for step in &program.steps[block.body.clone()] {
                let mask = lanes & (warp.predicates[step.guard as usize] ^ step.invert);
                if mask == 0 {
                    continue;
                }
                // SAFETY: decoding picks functions for the instruction set that was detected.
                if let Err(mut fault) = unsafe { (step.run)(warp, self, step, mask) } {
                    fault.line = step.line;
                    fault.place = program.place(step.line, warp.index, fault.lane, self, shape);
                    return Err(fault);
                }
            }
            let next = group.block + 1;
            match block.terminator {
                Terminator::Next => warp.groups.push(Group { block: next, lanes }),
                Terminator::Jump { target } => warp.groups.push(Group { block: target, lanes }),
                Terminator::Branch { guard, target } => {
                    let invert = if guard.negated { u32::MAX } else { 0 };
                    let taken = lanes & (warp.predicates[guard.register as usize] ^ invert);
                    if taken != 0 {
                        warp.groups.push(Group { block: target, lanes: taken });
                    }
                    if taken != lanes {
                        warp.groups.push(Group { block: next, lanes: lanes & !taken });
                    }
                }
                Terminator::Exit { guard } => {
                    let ended = guard.map_or(lanes, |guard| {
                        let invert = if guard.negated { u32::MAX } else { 0 };
                        lanes & (warp.predicates[guard.register as usize] ^ invert)
                    });
                    warp.alive &= !ended;
                    lanes &= !ended;
                    if lanes != 0 {
                        warp.groups.push(Group { block: next, lanes });
                    }
                }
                Terminator::Barrier { barrier } => {
                    if lanes != warp.alive {
                        let lane = (warp.alive & !lanes).trailing_zeros();
                        let mut fault = Fault::new(
                            FaultKind::LaunchFailed,
                            lane,
                            "a barrier that not all threads of the warp reach together",
                        );
                        fault.line = block.line;
                        fault.place = program.place(block.line, warp.index, lane, self, shape);
                        return Err(fault);
                    }
                    warp.groups.push(Group { block: next, lanes });
                    return Ok(Stop::Barrier(barrier));
                }
            }
        }
    }
}

/// Takes the lanes that are furthest back, those of several groups at the same place together.
fn next_group(groups: &mut Vec<Group>) -> Option<Group> {
    if groups.len() <= 1 {
        return groups.pop();
    }
    let block = groups.iter().map(|group| group.block).min()?;
    let mut lanes = 0;
    groups.retain(|group| {
        if group.block == block {
            lanes |= group.lanes;
        }
        group.block != block
    });
    Some(Group { block, lanes })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::execute::decode;
    use crate::execute::step::InstructionSet;
    use crate::ptx::parse;

    #[test]
    fn a_loop_that_does_not_end_is_given_up() {
        let text = ".visible .entry k() { .reg .b32 %r<2>; mov.b32 %r1, 0;
             $L: add.s32 %r1, %r1, 1; bra $L; }";
        let module = parse(text).unwrap();
        let (kernel, set) = (&module.kernels[0], InstructionSet::detect());
        let program = decode(kernel, &[], &HashMap::new(), set).unwrap();
        let memory = Mutex::new(Allocations::new(0));
        let shape = Shape { grid: [1; 3], threads: [32, 1, 1], dynamic_shared: 0 };
        let (mut block, mut warps) = prepare(&program, &memory, &shape, &[]);
        block.patience = 1000;
        let fault = block.run(&program, &mut warps, &shape, [0; 3]).unwrap_err();
        assert_eq!((fault.kind, fault.line), (FaultKind::Timeout, 2));
    }
}
