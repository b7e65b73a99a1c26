//! Attention over parts of the keys, put together.

use crate::movement::suffix;
use crate::number::{blocks, grid, number};
use crate::pack::internal;
use crate::{DType, DeviceView, Gpu};
use cuda::{Argument, CudaError};

/// Attention over some of the keys: its output (…, D) and the log-sum-exp (…) of its scores.
#[derive(Clone, Copy)]
pub struct AttentionPart<'a> {
    /// (…, D).
    pub output: &'a DeviceView,
    /// `Float32` (…).
    pub log_sum_exp: &'a DeviceView,
    /// `Float32` (…): what is to be added to the log-sum-exp, where more of it is known.
    pub residue: Option<&'a DeviceView>,
}

/// Attention over the keys of both parts, in `f64` and rounded once: contiguous tensors of the same
/// shapes, of which `first.output` and `output` are `Float32` and `second.output` any float type.
/// `residue` is what rounding took from `log_sum_exp`.
///
/// A part without keys, whose log-sum-exp is minus infinity, adds nothing; a log-sum-exp that is NaN
/// or infinite makes its row NaN.
///
/// # Errors
///
/// What the device refuses.
pub fn merge_attention(
    gpu: &Gpu,
    first: AttentionPart,
    second: AttentionPart,
    output: &DeviceView,
    log_sum_exp: &DeviceView,
    residue: &DeviceView,
) -> Result<(), CudaError> {
    const NAME: &str = "merge of attention";
    let dtype = second.output.dtype;
    if [first.output.dtype, output.dtype] != [DType::Float32; 2] || !dtype.is_float() {
        let types = [first.output, second.output, output].map(|view| view.dtype.name());
        return Err(internal(format!("{NAME} of {types:?}")));
    }
    let kernel = format!("merge_attention_{}", suffix(dtype));
    let rows = log_sum_exp.count();
    let size = output.shape().last().copied().unwrap_or(1);
    let pointer = |view: &DeviceView| Argument::Pointer(view.pointer());
    let optional = |view: Option<&DeviceView>| view.map_or(Argument::Pointer(0), pointer);
    let arguments = [
        pointer(first.output),
        pointer(first.log_sum_exp),
        optional(first.residue),
        pointer(second.output),
        pointer(second.log_sum_exp),
        optional(second.residue),
        pointer(output),
        pointer(log_sum_exp),
        pointer(residue),
        Argument::I32(first.residue.is_some().into()),
        Argument::I32(second.residue.is_some().into()),
        Argument::I64(rows as i64),
        number(NAME, size)?,
    ];
    let blocks = blocks(gpu, &kernel, "ROWS", rows);
    gpu.launch(&kernel, grid(NAME, blocks)?, &arguments)
}

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;
