//! Instructions to basic blocks.

use std::ops::Range;

use super::{Guard, Immediate, Instruction, Kernel, Operand, PtxError, RegisterClass, RegisterId};

/// How a basic block ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Terminator {
    /// Goes on with the next block.
    Next,
    /// Goes on with block `target`.
    Jump {
        /// A block's number.
        target: usize,
    },
    /// Lanes that the guard admits go to `target`, the others to the next block.
    Branch {
        /// Which lanes branch.
        guard: Guard,
        /// A block's number.
        target: usize,
    },
    /// Lanes that the guard admits end; all where there is none.
    Exit {
        /// Which lanes end.
        guard: Option<Guard>,
    },
    /// Waits at a barrier of the block of threads, then goes on with the next block.
    Barrier {
        /// Number of the barrier.
        barrier: BarrierNumber,
        /// How many threads meet there; none for all.
        threads: Option<u32>,
    },
}

/// Where a barrier's number stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarrierNumber {
    /// In the instruction.
    Fixed(u32),
    /// In a register.
    Register(RegisterId),
}

/// Instructions that are done one after another, and how they end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BasicBlock {
    /// Indices of its instructions, the terminating one left out.
    pub body: Range<usize>,
    /// How it ends.
    pub terminator: Terminator,
    /// Line of the terminating instruction, or of the last one.
    pub line: u32,
}

fn is_barrier(instruction: &Instruction) -> bool {
    matches!(instruction.name(), "bar" | "barrier")
        && !instruction.has("warp")
        && !instruction.has("arrive")
}

fn ends_block(instruction: &Instruction) -> bool {
    matches!(instruction.name(), "bra" | "ret" | "exit") || is_barrier(instruction)
}

/// Splits a kernel at its labels, branches, exits and barriers.
pub fn split(kernel: &Kernel) -> Result<Vec<BasicBlock>, PtxError> {
    let instructions = &kernel.instructions;
    let count = instructions.len();
    let mut leads = vec![false; count + 1];
    leads[0] = true;
    leads[count] = true;
    for position in kernel.labels.values() {
        leads[*position] = true;
    }
    for (index, instruction) in instructions.iter().enumerate() {
        if ends_block(instruction) {
            leads[index + 1] = true;
        }
    }
    let starts: Vec<usize> = (0..=count).filter(|index| leads[*index]).collect();
    let block_at = |position: usize| starts.binary_search(&position).ok();
    let mut blocks = Vec::with_capacity(starts.len());
    for pair in starts.windows(2) {
        let last = &instructions[pair[1] - 1];
        let terminator =
            if ends_block(last) { Some(terminator(kernel, last, &block_at)?) } else { None };
        blocks.push(BasicBlock {
            body: pair[0]..pair[1] - usize::from(terminator.is_some()),
            terminator: terminator.unwrap_or(Terminator::Next),
            line: last.line,
        });
    }
    // What runs off the end returns; a label at the end needs a block to stand for it.
    blocks.push(BasicBlock {
        body: count..count,
        terminator: Terminator::Exit { guard: None },
        line: instructions.last().map_or(0, |last| last.line),
    });
    Ok(blocks)
}

fn terminator(
    kernel: &Kernel,
    instruction: &Instruction,
    block_at: &dyn Fn(usize) -> Option<usize>,
) -> Result<Terminator, PtxError> {
    match instruction.name() {
        "bra" => {
            let [Operand::Symbol(label)] = instruction.operands[..] else {
                return Err(instruction.error("expected a label"));
            };
            let target = kernel
                .labels
                .get(label)
                .and_then(|position| block_at(*position))
                .ok_or_else(|| instruction.error(format!("no label {label}")))?;
            Ok(match instruction.guard {
                Some(guard) => Terminator::Branch { guard, target },
                None => Terminator::Jump { target },
            })
        }
        "ret" | "exit" => Ok(Terminator::Exit { guard: instruction.guard }),
        _ => {
            if instruction.guard.is_some() {
                return Err(instruction.error("a barrier under a predicate is not supported"));
            }
            if !instruction.has("sync") {
                return Err(instruction.error("of the barriers only sync is supported"));
            }
            let (barrier, threads) = match &instruction.operands[..] {
                [barrier] => (barrier, None),
                [barrier, Operand::Immediate(Immediate::Integer(threads))] => {
                    (barrier, Some(*threads as u32))
                }
                _ => return Err(instruction.error("expected a barrier and a number of threads")),
            };
            let barrier = match barrier {
                Operand::Immediate(Immediate::Integer(number @ 0..=15)) => {
                    BarrierNumber::Fixed(*number as u32)
                }
                Operand::Register(register)
                    if kernel.registers[*register as usize] == RegisterClass::Word(32) =>
                {
                    BarrierNumber::Register(*register)
                }
                _ => return Err(instruction.error("expected a barrier's number")),
            };
            Ok(Terminator::Barrier { barrier, threads })
        }
    }
}
