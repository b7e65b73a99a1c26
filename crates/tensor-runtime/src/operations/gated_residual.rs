//! A residual connection with a gate.

use super::check;
use crate::error::RuntimeError;
use crate::stream::Stream;
use crate::tensor::Tensor;
use cpu_kernels::{DType, combination};

/// residual + update · gate in float32, rounded once to the residual's element type, a float: the
/// gated residuals of diffusers' `WanTransformerBlock`.
///
/// `update` has the residual's shape and element type; `gate` is float32 and repeats to that shape,
/// such as (B, 1, C) or (B, S, C). Refuses anything else.
pub fn gated_residual(
    stream: &Stream,
    residual: &Tensor,
    update: &Tensor,
    gate: &Tensor,
) -> Result<Tensor, RuntimeError> {
    const NAME: &str = "gatedResidual";
    check::is_float(NAME, "residual", residual)?;
    check::has_dtype_of(NAME, "update", update, "residual", residual)?;
    check::has_shape(NAME, "update", update, residual.shape(), "the shape of residual")?;
    check::has_dtype(NAME, "gate", gate, DType::Float32)?;
    check::broadcasts_to(NAME, "gate", gate, "residual", residual.shape())?;
    let inputs = vec![residual.clone(), update.clone(), gate.clone()];
    let output = (residual.dtype(), residual.shape().to_vec());
    let [output] = stream.submit(
        NAME,
        inputs,
        [output],
        |cpu, inputs, outputs| {
            combination::gated_residual(cpu, &inputs[0], &inputs[1], &inputs[2], &outputs[0]);
            Ok(())
        },
        |gpu, inputs, outputs| {
            let [residual, update, gate] = inputs else { unreachable!("three were submitted") };
            let output = &outputs[0];
            Ok(cuda_kernels::combination::gated_residual(gpu, residual, update, gate, output)?)
        },
    )?;
    Ok(output)
}
