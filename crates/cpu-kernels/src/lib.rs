//! CPU kernels of wan-ts: plain functions over strided views of memory.
//!
//! The crate knows nothing of JavaScript, of tensors that own their memory, or of models. A kernel
//! gets a [`Cpu`] (threads and instruction set), views of its arguments, and fills its output.
//!
//! One promise holds for every kernel: an output element is computed by the same instructions in
//! the same order whatever the number of threads, and whatever the number of rows beside it. So a
//! row of a product or of attention has the same bytes on one rank or on eight.

pub mod attention;
pub mod binary;
pub mod combination;
pub mod conv;
mod element;
pub mod embedding;
pub mod finite;
pub mod float;
mod gemm;
pub mod instruction_set;
pub mod linear;
pub mod math;
pub mod mean;
pub mod merge;
pub mod movement;
mod multiversion;
pub mod normalization;
pub mod peak;
pub mod pool;
pub mod quantization;
pub mod rotary;
mod rows;
mod transpose;
pub mod unary;
pub mod view;
mod walk;

pub use instruction_set::InstructionSet;
pub use pool::ThreadPool;
pub use tensor_layout::{DType, Layout};
pub use view::{TensorMut, TensorRef};

/// Where and how a kernel runs: the threads it may use and the instructions it may choose.
#[derive(Clone, Copy)]
pub struct Cpu<'a> {
    /// The threads that share the work.
    pub pool: &'a ThreadPool,
    /// The widest instruction set that the kernel may use.
    pub instruction_set: InstructionSet,
}
