//! Reads PTX: text to tokens, to kernels of labelled instructions, to basic blocks.
//!
//! Knows the language's shape, not what an instruction does: that is [`crate::execute`]'s.

mod blocks;
mod body;
mod cursor;
mod kernel;
mod lexer;
mod liveness;
mod operand;
mod parser;
mod special;
mod variables;

pub use blocks::{BarrierNumber, BasicBlock, Terminator};
pub use kernel::{
    Block, Guard, Instruction, Kernel, Module, Parameter, RegisterClass, RegisterId, SourcePlace,
};
pub use liveness::{assign_slots, registers, registers_of_products};
pub use operand::{Base, Immediate, Operand};
pub use parser::parse;
pub use special::Special;
pub use variables::{Space, Variable, type_bytes};

/// Why a text isn't PTX that this emulator runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PtxError {
    /// Line of the text, from 1.
    pub line: u32,
    /// What was expected and what was found.
    pub message: String,
}

impl PtxError {
    /// An error at `line`.
    pub fn new(line: u32, message: impl Into<String>) -> PtxError {
        PtxError { line, message: message.into() }
    }
}

impl std::fmt::Display for PtxError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "PTX line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for PtxError {}
