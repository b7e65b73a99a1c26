//! Registers to slots: those that are never live together share one.
//!
//! A kernel of Triton names thousands of registers of which a few hundred are live at once. Sharing
//! slots keeps a warp's registers in the processor's first caches.

use std::collections::BTreeSet;

use super::{
    BarrierNumber, Base, Block, Instruction, Kernel, Operand, RegisterClass, RegisterId, Terminator,
};

/// Where each register is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The slot of each register among those of its class. Predicate slot 0 is left free.
    pub slots: Vec<u32>,
    /// Slots of 32 bits.
    pub words: u32,
    /// Slots of 64 bits.
    pub longs: u32,
    /// Slots of truth values, the free one included.
    pub predicates: u32,
}

/// Whether an instruction's first operand is read instead of written.
fn only_reads(instruction: &Instruction) -> bool {
    matches!(
        instruction.name(),
        "st" | "red"
            | "cp"
            | "bra"
            | "bar"
            | "barrier"
            | "membar"
            | "fence"
            | "prefetch"
            | "prefetchu"
            | "discard"
            | "applypriority"
            | "nanosleep"
            | "trap"
            | "brkpt"
    )
}

fn visit(operand: &Operand, written: bool, seen: &mut dyn FnMut(RegisterId, bool)) {
    match operand {
        Operand::Register(register) | Operand::Negated(register) => seen(*register, written),
        Operand::Address { base: Base::Register(register), .. } => seen(*register, false),
        Operand::Vector(elements) => {
            elements.iter().for_each(|element| visit(element, written, seen));
        }
        Operand::Tensor { map, coordinates } => {
            seen(*map, false);
            coordinates.iter().for_each(|coordinate| visit(coordinate, false, seen));
        }
        Operand::Pair(first, second) => {
            visit(first, written, seen);
            visit(second, written, seen);
        }
        _ => {}
    }
}

/// Calls `seen(register, written)` for each register of `instruction`, those it reads first.
pub fn registers(instruction: &Instruction, seen: &mut dyn FnMut(RegisterId, bool)) {
    let written = usize::from(!only_reads(instruction)).min(instruction.operands.len());
    for operand in &instruction.operands[written..] {
        visit(operand, false, seen);
    }
    for operand in &instruction.operands[..written] {
        // Lanes that a predicate leaves out keep what they had; products add to what is there.
        if instruction.guard.is_some() || instruction.name() == "wgmma" {
            visit(operand, false, seen);
        }
        visit(operand, true, seen);
    }
}

/// The register, other than predicates, that a block's end reads.
fn terminator_register(terminator: &Terminator) -> Option<RegisterId> {
    match terminator {
        Terminator::Barrier { barrier: BarrierNumber::Register(register), .. } => Some(*register),
        _ => None,
    }
}

/// The registers that asynchronous products (`wgmma`) read and write while other instructions run.
pub fn registers_of_products(kernel: &Kernel) -> BTreeSet<RegisterId> {
    let mut found = BTreeSet::new();
    for instruction in kernel.instructions.iter().filter(|one| one.name() == "wgmma") {
        for operand in &instruction.operands {
            if let Operand::Vector(_) = operand {
                visit(operand, false, &mut |register, _| {
                    found.insert(register);
                });
            }
        }
    }
    found
}

/// A set of registers.
#[derive(Clone, PartialEq, Eq)]
struct Set(Vec<u64>);

impl Set {
    fn new(count: usize) -> Set {
        Set(vec![0; count.div_ceil(64)])
    }

    fn insert(&mut self, register: RegisterId) {
        self.0[register as usize / 64] |= 1 << (register % 64);
    }

    fn contains(&self, register: RegisterId) -> bool {
        self.0[register as usize / 64] >> (register % 64) & 1 == 1
    }

    fn each(&self, mut seen: impl FnMut(usize)) {
        for (word, bits) in self.0.iter().enumerate() {
            let mut bits = *bits;
            while bits != 0 {
                seen(word * 64 + bits.trailing_zeros() as usize);
                bits &= bits - 1;
            }
        }
    }
}

/// Registers live at each block's begin and end.
fn live_sets(kernel: &Kernel, blocks: &[Block]) -> (Vec<Set>, Vec<Set>) {
    let count = kernel.registers.len();
    let mut read_first = vec![Set::new(count); blocks.len()];
    let mut written = vec![Set::new(count); blocks.len()];
    for (index, block) in blocks.iter().enumerate() {
        for instruction in &kernel.instructions[block.body.clone()] {
            registers(instruction, &mut |register, writes| {
                if writes {
                    written[index].insert(register);
                } else if !written[index].contains(register) {
                    read_first[index].insert(register);
                }
            });
        }
        if let Some(register) = terminator_register(&block.terminator)
            && !written[index].contains(register)
        {
            read_first[index].insert(register);
        }
    }
    let mut live_in = read_first.clone();
    let mut live_out = vec![Set::new(count); blocks.len()];
    let mut changed = true;
    while changed {
        changed = false;
        for index in (0..blocks.len()).rev() {
            for successor in Kernel::successors(&blocks[index].terminator, index + 1) {
                for word in 0..live_out[index].0.len() {
                    live_out[index].0[word] |= live_in[successor].0[word];
                }
            }
            for word in 0..live_in[index].0.len() {
                let through = live_out[index].0[word] & !written[index].0[word];
                let all = live_in[index].0[word] | through;
                changed |= all != live_in[index].0[word];
                live_in[index].0[word] = all;
            }
        }
    }
    (live_in, live_out)
}

/// Gives each register of `kernel` a slot: linear scan over the ranges in which they are live.
pub fn assign_slots(kernel: &Kernel, blocks: &[Block]) -> Assignment {
    let count = kernel.registers.len();
    let mut ranges = vec![(usize::MAX, 0_usize); count];
    let mut extend = |register: usize, position: usize| {
        let range = &mut ranges[register];
        *range = (range.0.min(position), range.1.max(position));
    };
    let (live_in, live_out) = live_sets(kernel, blocks);
    for (index, block) in blocks.iter().enumerate() {
        live_in[index].each(|register| extend(register, block.body.start));
        live_out[index].each(|register| extend(register, block.body.end));
        for position in block.body.clone() {
            registers(&kernel.instructions[position], &mut |register, _| {
                extend(register as usize, position);
            });
        }
        if let Some(register) = terminator_register(&block.terminator) {
            extend(register as usize, block.body.end);
        }
    }
    // Products under way use registers beyond the text's last mention of them: these share with none.
    for register in registers_of_products(kernel) {
        extend(register as usize, 0);
        extend(register as usize, kernel.instructions.len());
    }
    let mut order: Vec<usize> =
        (0..count).filter(|register| ranges[*register].0 != usize::MAX).collect();
    order.sort_by_key(|register| ranges[*register]);
    let mut assignment = Assignment { slots: vec![0; count], words: 0, longs: 0, predicates: 1 };
    let mut in_use = [BTreeSet::new(), BTreeSet::new()];
    let mut free: [Vec<u32>; 2] = [Vec::new(), Vec::new()];
    for (register, class) in kernel.registers.iter().enumerate() {
        if *class == RegisterClass::Predicate {
            assignment.slots[register] = assignment.predicates;
            assignment.predicates += 1;
        }
    }
    for register in order {
        let (class, total) = match kernel.registers[register] {
            RegisterClass::Predicate => continue,
            RegisterClass::Word(_) => (0, &mut assignment.words),
            RegisterClass::Long => (1, &mut assignment.longs),
        };
        let (start, end) = ranges[register];
        while let Some((ended, slot)) = in_use[class].first().copied()
            && ended < start
        {
            in_use[class].pop_first();
            free[class].push(slot);
        }
        let slot = free[class].pop().unwrap_or_else(|| {
            *total += 1;
            *total - 1
        });
        in_use[class].insert((end, slot));
        assignment.slots[register] = slot;
    }
    assignment
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ptx::parse;

    fn assigned(body: &str) -> Assignment {
        let text = format!(
            ".visible .entry k() {{ .reg .pred %p<3>; .reg .b32 %r<9>; .reg .b64 %rd<3>; {body} }}"
        );
        let module = parse(&text).unwrap();
        let kernel = &module.kernels[0];
        assign_slots(kernel, &kernel.blocks().unwrap())
    }

    #[test]
    fn values_that_never_meet_share_a_slot() {
        let slots = assigned(
            "mov.b32 %r1, 1; add.s32 %r2, %r1, 1; add.s32 %r3, %r2, 1; add.s32 %r4, %r3, 1;
             st.global.b32 [%rd1], %r4; ret;",
        );
        assert_eq!((slots.words, slots.longs, slots.predicates), (2, 1, 4));
    }

    #[test]
    fn a_value_of_a_loop_is_kept_through_it() {
        let slots = assigned(
            "mov.b32 %r1, 1; mov.b32 %r2, 0;
             $L: mov.b32 %r3, 5; add.s32 %r2, %r2, %r3; mov.b32 %r4, 6; add.s32 %r2, %r2, %r4;
             add.s32 %r2, %r2, %r1; setp.lt.s32 %p1, %r2, 9; @%p1 bra $L; ret;",
        );
        assert_ne!(slots.slots[3 + 1], slots.slots[3 + 3]);
        assert_ne!(slots.slots[3 + 1], slots.slots[3 + 4]);
        assert_eq!(slots.words, 3);
    }

    #[test]
    fn what_a_predicate_may_leave_is_kept() {
        let slots = assigned(
            "mov.b32 %r1, 1; mov.b32 %r2, 2; add.s32 %r3, %r2, 1; @%p1 mov.b32 %r1, %r3;
             st.global.b32 [%rd1], %r1; ret;",
        );
        assert_ne!(slots.slots[3 + 1], slots.slots[3 + 2]);
        assert_ne!(slots.slots[3 + 1], slots.slots[3 + 3]);
    }
}
