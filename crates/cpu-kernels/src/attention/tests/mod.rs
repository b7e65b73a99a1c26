//! Attention against float64, and against itself byte for byte.

mod accuracy;
mod exponentials;
mod invariance;
mod parts;
mod pieces;
mod problem;
mod refusals;
mod special;

use crate::{DType, InstructionSet};

/// Every pair of instruction set and element type that this machine can run.
fn kinds() -> Vec<(InstructionSet, DType)> {
    let dtypes = [DType::Float32, DType::BFloat16, DType::Float16];
    InstructionSet::available()
        .into_iter()
        .flat_map(|set| dtypes.map(|dtype| (set, dtype)))
        .collect()
}
