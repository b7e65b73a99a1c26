//! A kernel that is ready to run.

use std::ops::Range;

use crate::ptx::{Parameter, Special, Terminator};

use super::step::Step;
use super::thread_block::{Shape, ThreadBlock};
use super::warp::LANES;

/// What a slot holds that no instruction writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// A number of 32 bits.
    Word(u32),
    /// A number of 64 bits.
    Long(u64),
    /// An argument of the kernel, or a part of one.
    WordParameter {
        /// Where it begins in the block of parameters.
        offset: usize,
        /// Bytes.
        bytes: usize,
        /// Whether its sign fills the register.
        signed: bool,
    },
    /// As above, in a register of 64 bits.
    LongParameter {
        /// Where it begins in the block of parameters.
        offset: usize,
        /// Bytes.
        bytes: usize,
        /// Whether its sign fills the register.
        signed: bool,
    },
    /// Where the thread is.
    Special(Special),
}

/// A basic block of [`Program::steps`].
#[derive(Clone, Debug)]
pub struct Section {
    /// Its steps.
    pub body: Range<usize>,
    /// How it ends; registers in it are slots of predicates.
    pub terminator: Terminator,
    /// Line of the PTX where it ends.
    pub line: u32,
}

/// A decoded kernel.
pub struct Program {
    /// Its name.
    pub name: String,
    /// Arguments in order.
    pub parameters: Vec<Parameter>,
    /// Threads of a block that it was compiled for, where stated.
    pub required_threads: Option<[u32; 3]>,
    /// Most threads of a block along each axis, where stated.
    pub maximum_threads: Option<[u32; 3]>,
    /// Instructions.
    pub steps: Vec<Step>,
    /// Basic blocks in the order of the text.
    pub blocks: Vec<Section>,
    /// Slots of 32 bits.
    pub words: u32,
    /// Slots of 64 bits.
    pub longs: u32,
    /// Slots of truth values.
    pub predicates: u32,
    /// Whether it has asynchronous products.
    pub multiplies: bool,
    /// Accesses to global memory, each of which remembers an allocation.
    pub caches: u32,
    /// What slots hold from the start.
    pub fills: Vec<(u32, Fill)>,
    /// Slots that hold the block's index, with the axis.
    pub block_indices: Vec<(u32, usize)>,
    /// Bytes of shared memory that the kernel declares with a size.
    pub static_shared: usize,
    /// Where the memory that a launch asks for begins.
    pub dynamic_start: usize,
    /// Bytes of a thread's local memory.
    pub local_bytes: usize,
    /// The text of each line of PTX that has a step, with where it came from, for messages.
    pub text: Vec<(u32, String)>,
}

impl Program {
    /// Bytes of a block's shared memory, of which a launch asks for `dynamic`.
    pub fn shared_bytes(&self, dynamic: u32) -> usize {
        self.static_shared.max(self.dynamic_start) + dynamic as usize
    }

    /// Bytes of the block of parameters.
    pub fn parameter_bytes(&self) -> usize {
        self.parameters.last().map_or(0, |last| last.offset + last.bytes)
    }

    /// Where a lane of a warp is, and what it does, for messages.
    pub fn place(
        &self,
        line: u32,
        warp: u32,
        lane: u32,
        block: &ThreadBlock<'_>,
        shape: &Shape,
    ) -> String {
        let [x, y, z] = block.index;
        let thread = warp * LANES as u32 + lane;
        let [across, down, _] = shape.threads;
        let (i, j, k) = (thread % across, thread / across % down, thread / across / down);
        let text = match self.text.binary_search_by_key(&line, |(line, _)| *line) {
            Ok(found) => self.text[found].1.as_str(),
            Err(_) => "",
        };
        format!(
            " (kernel {}, block {x},{y},{z}, thread {i},{j},{k}, PTX line {line}: {text})",
            self.name
        )
    }
}
