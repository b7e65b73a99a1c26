//! Rehearsals of the process's stream.

use crate::error::from_runtime;
use crate::stream::cpu;
use crate::tensor::to_numbers;
use napi::bindgen_prelude::*;
use napi_derive::napi;
use tensor_runtime::{Operand, RehearsedOperation};

/// Element type and shape of an input or output.
#[napi(object, object_from_js = false)]
pub struct NativeOperand {
    /// The element type.
    pub dtype: &'static str,
    /// Extents, outermost first.
    pub shape: Vec<f64>,
}

impl From<&Operand> for NativeOperand {
    fn from(operand: &Operand) -> Self {
        NativeOperand { dtype: operand.dtype.name(), shape: to_numbers(&operand.shape) }
    }
}

/// An operation, with all its runs on operands of one kind.
#[napi(object, object_from_js = false)]
pub struct NativeRehearsedOperation {
    /// The operation.
    pub operation: &'static str,
    /// What it reads.
    pub inputs: Vec<NativeOperand>,
    /// What it makes.
    pub outputs: Vec<NativeOperand>,
    /// How often it would run.
    pub count: f64,
    /// The most bytes that would be held during it.
    pub peak_resident_bytes: f64,
}

impl From<RehearsedOperation> for NativeRehearsedOperation {
    fn from(kind: RehearsedOperation) -> Self {
        NativeRehearsedOperation {
            operation: kind.operation,
            inputs: kind.inputs.iter().map(NativeOperand::from).collect(),
            outputs: kind.outputs.iter().map(NativeOperand::from).collect(),
            count: kind.count as f64,
            peak_resident_bytes: kind.peak_resident_bytes as f64,
        }
    }
}

/// What was rehearsed since the last look.
#[napi(object, object_from_js = false)]
pub struct NativeRehearsed {
    /// Bytes of tensors that would be allocated now.
    pub allocated_bytes: f64,
    /// Bytes of mapped files that tensors read in place now, touched or not.
    pub in_place_bytes: f64,
    /// The part of them that would have been touched.
    pub mapped_bytes: f64,
    /// The most that `allocatedBytes` would have been.
    pub peak_allocated_bytes: f64,
    /// The most that both together would have been.
    pub peak_resident_bytes: f64,
    /// Bytes of tensors that would be allocated on CUDA devices now.
    pub device_bytes: f64,
    /// The most that `deviceBytes` would have been.
    pub peak_device_bytes: f64,
    /// The operations, in the order of each kind's first run.
    pub operations: Vec<NativeRehearsedOperation>,
}

/// Starts to rehearse: operations are counted and not computed. One rehearsal at a time.
#[napi(catch_unwind)]
pub fn begin_rehearsal() -> Result<()> {
    cpu().begin_rehearsal().map_err(from_runtime)
}

/// What was rehearsed since the rehearsal began, or since the last call; null where none is under
/// way.
#[napi(catch_unwind)]
pub fn take_rehearsed() -> Option<NativeRehearsed> {
    let rehearsed = cpu().take_rehearsed()?;
    Some(NativeRehearsed {
        allocated_bytes: rehearsed.allocated_bytes as f64,
        in_place_bytes: rehearsed.in_place_bytes as f64,
        mapped_bytes: rehearsed.mapped_bytes as f64,
        peak_allocated_bytes: rehearsed.peak_allocated_bytes as f64,
        peak_resident_bytes: rehearsed.peak_resident_bytes as f64,
        device_bytes: rehearsed.device_bytes as f64,
        peak_device_bytes: rehearsed.peak_device_bytes as f64,
        operations: rehearsed.operations.into_iter().map(Into::into).collect(),
    })
}

/// Computes again from the next operation on.
#[napi(catch_unwind)]
pub fn end_rehearsal() {
    cpu().end_rehearsal();
}
