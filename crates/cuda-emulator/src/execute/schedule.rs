//! The turns of a block's warps: each runs until it waits for others, or for a copy.

use crate::memory::POISON;
use crate::ptx::{BarrierNumber, Terminator};

use super::fault::{Fault, FaultKind, Outcome};
use super::meeting::Meetings;
use super::phase_barrier::{PhaseBarrier, Wait};
use super::program::Program;
use super::tensor_copy::deliver;
use super::thread_block::{Shape, ThreadBlock};
use super::warp::{Group, LANES, Lanes, Warp};

/// Registers that a block's lanes have together.
const REGISTERS: u32 = 65_536;

/// Where a warp came to.
enum Stop {
    /// At a barrier of the block.
    Barrier {
        /// Which.
        number: u32,
        /// Of how many threads; none for all.
        threads: Option<u32>,
    },
    /// To a barrier in shared memory whose phase isn't over.
    Waits,
    /// All its lanes ended.
    Ended,
}

/// Whether a warp can be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It can; where it waits for shared memory it looks again.
    Ready,
    /// It waits at a barrier of the block.
    AtBarrier,
    /// All its lanes ended.
    Ended,
}

/// Warps that met at a barrier know what any of them has seen.
fn meet(warps: &mut [Warp], met: u32) {
    let mut seen = std::collections::BTreeMap::new();
    for warp in warps.iter().filter(|warp| met >> warp.index & 1 == 1) {
        for (barrier, phase) in &warp.seen {
            let known = seen.entry(*barrier).or_insert(*phase);
            *known = (*known).max(*phase);
        }
    }
    for warp in warps.iter_mut().filter(|warp| met >> warp.index & 1 == 1) {
        warp.seen.clone_from(&seen);
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
        self.meetings = Meetings::default();
        self.phases.clear();
        self.tensor_copies.clear();
        self.readings.clear();
        let threads = shape.thread_count();
        for warp in warps.iter_mut() {
            let lanes = (threads - warp.index * LANES as u32).min(LANES as u32);
            warp.alive = u32::MAX >> (LANES as u32 - lanes);
            warp.groups.clear();
            warp.groups.push(Group { block: 0, lanes: warp.alive });
            warp.copies.clear();
            warp.local.fill(POISON);
            warp.products.clear();
            warp.seen.clear();
            (warp.wait, warp.registers) = (None, None);
            for (slot, axis) in &program.block_indices {
                warp.words[*slot as usize] = Lanes([index[*axis]; LANES]);
            }
        }
        let mut phase = index[0].wrapping_add(index[1]).wrapping_add(index[2]);
        let newest_first = !phase.is_multiple_of(2);
        let count = warps.len();
        let mut states = vec![State::Ready; count];
        loop {
            let before = self.progress;
            for turn in 0..count {
                // Every other phase runs the warps backwards, so that a result that needs a
                // barrier which isn't there differs.
                let place = if phase.is_multiple_of(2) { turn } else { count - 1 - turn };
                if states[place] != State::Ready {
                    continue;
                }
                let warp = &mut warps[place];
                states[place] = match self.run_warp(program, warp, shape)? {
                    Stop::Waits => continue,
                    Stop::Ended => State::Ended,
                    Stop::Barrier { number, threads } => {
                        self.meetings.come(warp.index, number, threads, true)?;
                        State::AtBarrier
                    }
                };
                self.progress += 1;
            }
            let alive = (0..count).filter(|place| states[*place] != State::Ended);
            let alive = alive.fold(0, |bits, place| bits | 1 << place);
            if alive == 0 {
                return self.check_end(program, warps, shape);
            }
            let released = self.meetings.release(alive)?;
            if released != 0 {
                meet(warps, released);
                for (place, state) in states.iter_mut().enumerate() {
                    if released >> place & 1 == 1 {
                        *state = State::Ready;
                    }
                }
                self.progress += 1;
            }
            if self.progress == before && !deliver(self, newest_first) {
                return Err(self.standstill(program, warps, &states, shape));
            }
            phase = phase.wrapping_add(1);
        }
    }

    /// What must hold when all warps have ended.
    fn check_end(&self, program: &Program, warps: &[Warp], shape: &Shape) -> Outcome {
        let failed = |warp: &Warp, message: &str| {
            let mut fault = Fault::new(FaultKind::LaunchFailed, 0, message);
            fault.place = program.place(0, warp.index, 0, self, shape);
            Err(fault)
        };
        if self.tensor_copies.pending() > 0 {
            return failed(&warps[0], "the block ended while a copy was under way");
        }
        for warpgroup in warps.chunks(4) {
            for warp in warpgroup {
                if warp.products.under_way() {
                    return failed(warp, "a warp ended while its products were under way");
                }
                if warp.products.trail != warpgroup[0].products.trail {
                    return failed(warp, "warps of a group began other products");
                }
            }
        }
        if warps.iter().any(|warp| warp.registers.is_some()) {
            // What each begins with: as many as all can have, in steps of 8.
            let first = REGISTERS / shape.thread_count() / 8 * 8;
            let registers = |warp: &Warp| LANES as u32 * warp.registers.unwrap_or(first);
            let total: u32 = warps.iter().map(registers).sum();
            if total > REGISTERS {
                let message = format!("setmaxnreg asks for {total} registers of {REGISTERS}");
                return failed(&warps[0], &message);
            }
        }
        Ok(())
    }

    /// The fault of a block none of whose warps can go on.
    fn standstill(
        &self,
        program: &Program,
        warps: &[Warp],
        states: &[State],
        shape: &Shape,
    ) -> Box<Fault> {
        let waiting = |place: &usize| states[*place] == State::Ready;
        let waits: Vec<&Warp> =
            (0..warps.len()).filter(waiting).map(|place| &warps[place]).collect();
        let Some((first, wait)) = waits.iter().find_map(|warp| Some((warp, warp.wait?))) else {
            let message = "warps of a block wait at different barriers";
            return Fault::new(FaultKind::LaunchFailed, 0, message);
        };
        let told: Vec<String> = waits
            .iter()
            .filter_map(|warp| {
                let Wait { barrier, parity, .. } = warp.wait?;
                let state = self.phases.get(&barrier).map_or(String::new(), PhaseBarrier::describe);
                let warp = warp.index;
                Some(format!(
                    "warp {warp} for parity {parity} of the barrier at {barrier:#x}, {state}"
                ))
            })
            .collect();
        let message = format!("no warp can go on; they wait: {}", told.join("; "));
        let mut fault = Fault::new(FaultKind::Timeout, wait.lane, message);
        fault.line = wait.line;
        fault.place = program.place(wait.line, first.index, wait.lane, self, shape);
        fault
    }

    fn run_warp(
        &mut self,
        program: &Program,
        warp: &mut Warp,
        shape: &Shape,
    ) -> Result<Stop, Box<Fault>> {
        let mut patience = self.patience;
        warp.wait = None;
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
                Terminator::Barrier { barrier, threads } => {
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
                    let number = match barrier {
                        BarrierNumber::Fixed(number) => number,
                        BarrierNumber::Register(slot) => {
                            let lane = lanes.trailing_zeros() as usize & (LANES - 1);
                            warp.words[slot as usize].0[lane]
                        }
                    };
                    return Ok(Stop::Barrier { number, threads });
                }
            }
            if warp.wait.is_some() {
                return Ok(Stop::Waits);
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
    use std::sync::Mutex;

    use super::*;
    use crate::execute::decode;
    use crate::execute::step::InstructionSet;
    use crate::execute::thread_block::prepare;
    use crate::memory::Allocations;
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
