//! Sums of several tensors, element by element.

use crate::element::{Float, for_float};
use crate::multiversion::per_instruction_set;
use crate::walk::{Walk, broadcast, part, span};
use crate::{Cpu, DType, TensorMut, TensorRef};
use std::mem::MaybeUninit;

/// Elements that a thread computes at a time.
const GRAIN: usize = 16 << 10;
/// Elements whose sums are kept at hand; a divisor of [`GRAIN`].
const BLOCK: usize = 256;

/// output = Σ coefficients\[i\] · inputs\[i\], contiguous `Float32` tensors of one shape. Each
/// element is summed in `f64`, in order, and rounded once.
pub fn weighted_sum(cpu: &Cpu, inputs: &[TensorRef], coefficients: &[f64], output: &TensorMut) {
    assert_eq!((inputs.len(), output.dtype), (coefficients.len(), DType::Float32));
    assert!(inputs.iter().all(|input| input.shape() == output.shape()));
    let inputs: Vec<&[f32]> = inputs.iter().map(TensorRef::as_slice).collect();
    let walk = Walk::new(output.shape(), [&output.layout.strides]);
    walk.for_each_run(cpu, GRAIN, |[start], length| {
        // SAFETY: the walk's runs lie within the output and don't overlap.
        let results = unsafe { part::<f32>(output, start, length) };
        weighted_run(cpu.instruction_set, &inputs, coefficients, start, results);
    });
}

per_instruction_set! {
    /// The sums of `inputs` from element `start` on.
    fn weighted_run(
        inputs: &[&[f32]],
        coefficients: &[f64],
        start: usize,
        results: &mut [MaybeUninit<f32>],
    ) {
        for (block, results) in results.chunks_mut(BLOCK).enumerate() {
            let mut sums = [0.0; BLOCK];
            for (input, &coefficient) in inputs.iter().zip(coefficients) {
                for (sum, &value) in sums.iter_mut().zip(&input[start + block * BLOCK..]) {
                    *sum += coefficient * f64::from(value);
                }
            }
            for (result, sum) in results.iter_mut().zip(sums) {
                result.write(sum as f32);
            }
        }
    }
}

/// output = residual + update · gate in `f32`, rounded once. `residual` and `update` have the
/// output's shape and element type; `gate` is `Float32` and repeated to that shape by the rules of
/// broadcasting.
pub fn gated_residual(
    cpu: &Cpu,
    residual: &TensorRef,
    update: &TensorRef,
    gate: &TensorRef,
    output: &TensorMut,
) {
    for_float!(output.dtype, T => gated::<T>(cpu, residual, update, gate, output));
}

fn gated<T: Float>(
    cpu: &Cpu,
    residual: &TensorRef,
    update: &TensorRef,
    gate: &TensorRef,
    output: &TensorMut,
) {
    assert_eq!((residual.dtype, update.dtype), (output.dtype, output.dtype));
    assert_eq!(gate.dtype, DType::Float32);
    let shape = output.shape();
    let operands = [residual, update, gate].map(|operand| broadcast(operand, shape));
    let walk = Walk::new(shape, [&operands[0], &operands[1], &operands[2], &output.layout.strides]);
    let [residual_stride, update_stride, gate_stride, _] = walk.run_strides;
    walk.for_each_run(cpu, GRAIN, |[residual_from, update_from, gate_from, to], length| {
        // SAFETY: the walk's runs lie within the views and don't overlap in the output.
        unsafe {
            gated_run::<T>(
                cpu.instruction_set,
                (span(residual, residual_from, length, residual_stride), residual_stride),
                (span(update, update_from, length, update_stride), update_stride),
                (span(gate, gate_from, length, gate_stride), gate_stride),
                part(output, to, length),
            );
        }
    });
}

per_instruction_set! {
    /// One run of elements, each operand with its stride.
    fn gated_run<T: Float>(
        residual: (&[T], usize),
        update: (&[T], usize),
        gate: (&[f32], usize),
        results: &mut [MaybeUninit<T>],
    ) {
        let strides = (residual.1, update.1, gate.1);
        let (residual, update, gate) = (residual.0, update.0, gate.0);
        if strides == (1, 1, 1) {
            let operands = residual.iter().zip(update).zip(gate);
            for (result, ((residual, update), gate)) in results.iter_mut().zip(operands) {
                result.write(T::from_f32(residual.widen() + update.widen() * gate));
            }
        } else {
            for (place, result) in results.iter_mut().enumerate() {
                let (residual, update) = (residual[place * strides.0], update[place * strides.1]);
                let gate = gate[place * strides.2];
                result.write(T::from_f32(residual.widen() + update.widen() * gate));
            }
        }
    }
}
