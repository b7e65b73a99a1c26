//! Sums of several tensors, element by element.

use crate::movement::suffix;
use crate::number::{blocks, grid, number};
use crate::pack::internal;
use crate::walk::{Walk, broadcast};
use crate::{DType, DeviceView, Gpu};
use cuda::{Argument, CudaError};

/// Tensors that a launch adds up.
const TERMS: usize = 8;

/// output = Σ coefficients\[i\] · inputs\[i\], contiguous `Float32` tensors of one shape. Each
/// element is summed in `f64`, in order, and rounded once.
///
/// # Errors
///
/// What the device refuses.
pub fn weighted_sum(
    gpu: &Gpu,
    inputs: &[DeviceView],
    coefficients: &[f64],
    output: &DeviceView,
) -> Result<(), CudaError> {
    const KERNEL: &str = "weighted_sum";
    let count = output.count();
    if let Some(other) = inputs.iter().find(|input| input.count() != count) {
        let problem = format!("weighted sum of {:?} to {:?}", other.shape(), output.shape());
        return Err(internal(problem));
    }
    if inputs.len() != coefficients.len() {
        let (tensors, numbers) = (inputs.len(), coefficients.len());
        return Err(internal(format!("weighted sum of {tensors} tensors by {numbers} numbers")));
    }
    let blocks = grid(KERNEL, blocks(gpu, KERNEL, "BLOCK", count))?;
    // Sums too long for a launch wait here, in `f64`, for the next.
    let carry_bytes = if inputs.len() > TERMS { count * size_of::<f64>() } else { 0 };
    let carry = gpu.device().allocate(carry_bytes)?;
    let launches = inputs.len().div_ceil(TERMS).max(1);
    for launch in 0..launches {
        let terms = inputs.iter().zip(coefficients).skip(launch * TERMS).take(TERMS);
        let mut pointers = [Argument::Pointer(0); TERMS];
        let mut bits = [Argument::I64(0); TERMS];
        let here = terms.len();
        for (place, (input, coefficient)) in terms.enumerate() {
            pointers[place] = Argument::Pointer(input.pointer());
            bits[place] = Argument::I64(coefficient.to_bits() as i64);
        }
        let rest = [
            Argument::Pointer(output.pointer()),
            Argument::Pointer(carry.address()),
            Argument::I32(here as i32),
            Argument::I32((launch == 0).into()),
            Argument::I32((launch + 1 == launches).into()),
            Argument::I64(count as i64),
        ];
        gpu.launch(KERNEL, blocks, &[&pointers[..], &bits, &rest].concat())?;
    }
    Ok(())
}

/// output = residual + update · gate in `f32`, rounded once. `residual` and `update` have the
/// output's shape and element type; `gate` is `Float32` and repeated to that shape by the rules of
/// broadcasting.
///
/// # Errors
///
/// What the device refuses.
pub fn gated_residual(
    gpu: &Gpu,
    residual: &DeviceView,
    update: &DeviceView,
    gate: &DeviceView,
    output: &DeviceView,
) -> Result<(), CudaError> {
    let types = [residual, update, gate].map(|view| view.dtype);
    if types != [output.dtype, output.dtype, DType::Float32] || !output.dtype.is_float() {
        return Err(internal(format!("gated residual of {types:?}")));
    }
    if output.count() == 0 {
        return Ok(());
    }
    let (shape, dtype) = (output.shape(), suffix(output.dtype));
    if let Some(rows) = GateRows::of(residual, update, gate, output) {
        return rows.launch(
            gpu,
            &format!("gated_residual_rows_{dtype}"),
            residual,
            update,
            gate,
            output,
        );
    }
    let operands = [residual, update, gate].map(|operand| broadcast(operand, shape));
    let [residual_strides, update_strides, gate_strides] = &operands;
    let strides = [&residual_strides[..], update_strides, gate_strides, output.strides()];
    Walk::new(shape, strides).launch(gpu, &format!("gated_residual_{dtype}"), 3, |piece| {
        let views = [residual, update, gate, output];
        (0..4).map(|operand| piece.pointer(operand, views[operand])).collect()
    })
}

/// Rows of a gate that lie as the quick kernel takes them: each in vectors of 16 bytes, in up to two
/// dimensions, beside operands without gaps.
struct GateRows {
    rows: usize,
    channels: usize,
    tokens: usize,
    /// Elements from one row of the gate to the next, by batch and by token.
    strides: [usize; 2],
}

impl GateRows {
    fn of(
        residual: &DeviceView,
        update: &DeviceView,
        gate: &DeviceView,
        output: &DeviceView,
    ) -> Option<GateRows> {
        let operands = [residual, update, gate, output];
        let dense = [residual, update].iter().all(|view| view.layout.is_contiguous());
        let (&channels, outer) = output.shape().split_last()?;
        let gate_strides = broadcast(gate, output.shape());
        let (&column, outer_strides) = gate_strides.split_last()?;
        let walk = Walk::new(outer, [outer_strides]);
        let [batch, tokens] = match walk.dims[..] {
            [] => [(1, [0]), (1, [0])],
            [tokens] => [(1, [0]), tokens],
            [batch, tokens] => [batch, tokens],
            _ => return None,
        };
        let strides = [batch.1[0], tokens.1[0]];
        let vectors = channels.is_multiple_of(16)
            && (column == 1)
            && strides.iter().all(|stride| stride.is_multiple_of(16))
            && operands.iter().all(|view| view.is_aligned());
        let rows = outer.iter().product();
        let tokens = tokens.0;
        (dense && vectors).then_some(GateRows { rows, channels, tokens, strides })
    }

    fn launch(
        &self,
        gpu: &Gpu,
        kernel: &str,
        residual: &DeviceView,
        update: &DeviceView,
        gate: &DeviceView,
        output: &DeviceView,
    ) -> Result<(), CudaError> {
        const NAME: &str = "gated residual";
        let blocks = blocks(gpu, kernel, "BLOCK", self.channels);
        let pointers =
            [residual, update, gate, output].map(|view| Argument::Pointer(view.pointer()));
        let counts = [number(NAME, self.channels)?, number(NAME, self.tokens)?];
        let strides = self.strides.map(|stride| Argument::I64(stride as i64));
        let arguments = [&pointers[..], &counts, &strides].concat();
        gpu.launch(kernel, grid(NAME, self.rows * blocks)?, &arguments)
    }
}

#[cfg(test)]
#[path = "combination_tests.rs"]
mod tests;
