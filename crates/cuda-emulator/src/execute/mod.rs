//! Runs kernels: decodes what [`crate::ptx`] read and interprets it, 32 lanes at a time.
//!
//! A register of a warp is an array over its lanes, and an instruction a loop over one, which the
//! compiler vectorises. Lanes that part ways run one group after another, always the one furthest
//! back in the text, so that they meet again where the paths do.

mod access;
mod async_copy;
mod async_product;
mod async_registers;
mod atomic;
mod barrier;
mod bits;
mod carry;
mod compare;
mod conversion;
mod convert;
mod decode;
mod decoder;
mod fault;
mod fields;
mod float;
mod general_conversion;
mod half;
mod integer;
mod launch;
mod load_store;
mod math;
mod matrix;
mod matrix_descriptor;
mod meeting;
mod movement;
mod phase_barrier;
mod predicate;
mod product;
mod program;
mod row_product;
mod schedule;
mod shuffle;
mod small_float;
mod step;
mod tensor_copy;
mod tensor_map;
mod thread_block;
mod value;
mod warp;

pub use decode::decode;
pub use fault::FaultKind;
pub use launch::launch;
pub use matrix_descriptor::Swizzle;
pub use program::Program;
pub use step::InstructionSet;
pub use tensor_map::{BYTES as TENSOR_MAP_BYTES, MOST_DIMENSIONS, TensorMap};
pub use thread_block::Shape;
