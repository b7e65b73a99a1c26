//! A module's kernels, as read.

use std::collections::HashMap;

use super::{Operand, PtxError, Terminator, Variable, blocks};

/// A register of a kernel: an index into [`Kernel::registers`].
pub type RegisterId = u32;

/// How a register's lanes are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RegisterClass {
    /// A truth value.
    Predicate,
    /// At most 32 bits; `u8` bits are declared.
    Word(u8),
    /// 64 bits.
    Long,
}

/// The predicate under which an instruction is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard {
    /// The predicate.
    pub register: RegisterId,
    /// Done where the predicate is false.
    pub negated: bool,
}

/// An instruction as read.
#[derive(Clone, Debug, PartialEq)]
pub struct Instruction<'a> {
    /// Its line in the PTX, from 1.
    pub line: u32,
    /// The predicate before it.
    pub guard: Option<Guard>,
    /// The opcode with its modifiers.
    pub opcode: &'a str,
    /// In the order written.
    pub operands: Vec<Operand<'a>>,
}

impl<'a> Instruction<'a> {
    /// The opcode before its first point.
    pub fn name(&self) -> &'a str {
        self.opcode.split('.').next().unwrap_or(self.opcode)
    }

    /// What follows the name, in order.
    pub fn modifiers(&self) -> impl Iterator<Item = &'a str> + Clone {
        self.opcode.split('.').skip(1)
    }

    /// Whether `modifier` is among the modifiers.
    pub fn has(&self, modifier: &str) -> bool {
        self.modifiers().any(|found| found == modifier)
    }

    /// An error at this instruction.
    pub fn error(&self, message: impl std::fmt::Display) -> PtxError {
        PtxError::new(self.line, format!("{}: {message}", self.opcode))
    }
}

/// An argument of a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Where it begins in the block of parameters.
    pub offset: usize,
    /// Bytes.
    pub bytes: usize,
}

/// A range of instructions that is entered at its first and left after its last.
pub type Block = super::BasicBlock;

/// Where a line of PTX came from: file and line of the source, from the `.loc` before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourcePlace {
    /// First line of PTX that it holds for.
    pub ptx_line: u32,
    /// The number that a `.file` names.
    pub file: u32,
    /// Line of that file.
    pub line: u32,
}

/// A kernel (`.entry`) as read.
#[derive(Clone, Debug)]
pub struct Kernel<'a> {
    /// Its name.
    pub name: &'a str,
    /// Arguments in order.
    pub parameters: Vec<Parameter>,
    /// Threads of a block that it was compiled for (`.reqntid`), where stated.
    pub required_threads: Option<[u32; 3]>,
    /// Most threads of a block (`.maxntid`), where stated.
    pub maximum_threads: Option<[u32; 3]>,
    /// The class of each register.
    pub registers: Vec<RegisterClass>,
    /// Its own variables.
    pub variables: Vec<Variable>,
    /// All instructions, branches included.
    pub instructions: Vec<Instruction<'a>>,
    /// The instruction that each label stands before.
    pub labels: HashMap<&'a str, usize>,
}

impl Kernel<'_> {
    /// The instructions as basic blocks, in the order of the text.
    pub fn blocks(&self) -> Result<Vec<Block>, PtxError> {
        blocks::split(self)
    }

    /// Blocks that may follow one that ends with `terminator`, given the number of the block
    /// after it.
    pub fn successors(terminator: &Terminator, next: usize) -> impl Iterator<Item = usize> {
        let (first, second) = match *terminator {
            Terminator::Jump { target } => (Some(target), None),
            Terminator::Branch { target, .. } => (Some(target), Some(next)),
            Terminator::Exit { guard: Some(_) } | Terminator::Next | Terminator::Barrier { .. } => {
                (Some(next), None)
            }
            Terminator::Exit { guard: None } => (None, None),
        };
        first.into_iter().chain(second)
    }
}

/// A module as read.
#[derive(Clone, Debug)]
pub struct Module<'a> {
    /// Variables of the module.
    pub variables: Vec<Variable>,
    /// Kernels in order.
    pub kernels: Vec<Kernel<'a>>,
    /// Names of source files by their numbers.
    pub files: HashMap<u32, &'a str>,
    /// Where lines came from, in the order of the text.
    pub places: Vec<SourcePlace>,
}
