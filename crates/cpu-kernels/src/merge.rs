//! Attention over parts of the keys, put together.

use crate::element::{Float, for_float};
use crate::multiversion::per_instruction_set;
use crate::rows;
use crate::walk::{Walk, part, span};
use crate::{Cpu, TensorMut, TensorRef};
use std::mem::MaybeUninit;

/// Attention over some of the keys: its output (…, D) and the log-sum-exp (…) of its scores.
#[derive(Clone, Copy)]
pub struct AttentionPart<'a, 'b> {
    /// (…, D).
    pub output: &'a TensorRef<'b>,
    /// `Float32` (…).
    pub log_sum_exp: &'a TensorRef<'b>,
}

/// Attention over the keys of both parts, in `f64` and rounded once: contiguous tensors of the same shapes, of which
/// `first.output` and `output` are `Float32` and `second.output` any float type.
///
/// A part without keys, whose log-sum-exp is minus infinity, adds nothing; a log-sum-exp that is NaN
/// or infinite makes its row NaN.
pub fn merge_attention(
    cpu: &Cpu,
    first: AttentionPart,
    second: AttentionPart,
    output: &TensorMut,
    log_sum_exp: &TensorMut,
) {
    for_float!(second.output.dtype, T => merge::<T>(cpu, first, second, output, log_sum_exp));
}

fn merge<T: Float>(
    cpu: &Cpu,
    first: AttentionPart,
    second: AttentionPart,
    output: &TensorMut,
    log_sum_exp: &TensorMut,
) {
    let (_, size) = rows::split(output);
    let one = first.output.as_slice::<f32>();
    assert_eq!((second.output.shape(), one.len()), (output.shape(), output.layout.count()));
    assert!(second.output.layout.is_contiguous());
    // SAFETY: contiguous, so its elements are one run.
    let other: &[T] = unsafe { span(second.output, 0, one.len(), 1) };
    let sums = [first.log_sum_exp.as_slice::<f32>(), second.log_sum_exp.as_slice::<f32>()];
    let walk = Walk::new(log_sum_exp.shape(), [&log_sum_exp.layout.strides]);
    walk.for_each_run(cpu, rows::grain(size), |[row], count| {
        let values = row * size..(row + count) * size;
        // SAFETY: the walk's runs lie within the output and don't overlap; a row of it has `size`
        // consecutive elements.
        let (results, merged) = unsafe {
            (part::<f32>(output, values.start, values.len()), part::<f32>(log_sum_exp, row, count))
        };
        merge_rows::<T>(
            cpu.instruction_set,
            (&one[values.clone()], &sums[0][row..row + count]),
            (&other[values], &sums[1][row..row + count]),
            results,
            merged,
        );
    });
}

per_instruction_set! {
    /// As many rows as there are log-sum-exps.
    fn merge_rows<T: Float>(
        first: (&[f32], &[f32]),
        second: (&[T], &[f32]),
        results: &mut [MaybeUninit<f32>],
        merged: &mut [MaybeUninit<f32>],
    ) {
        let size = results.len() / merged.len().max(1);
        for (row, merged) in merged.iter_mut().enumerate() {
            let (weights, log_sum_exp) = weights(first.1[row], second.1[row]);
            merged.write(log_sum_exp);
            let values = row * size..(row + 1) * size;
            let operands = first.0[values.clone()].iter().zip(&second.0[values.clone()]);
            for (result, (one, other)) in results[values].iter_mut().zip(operands) {
                let (one, other) = (f64::from(*one), f64::from(other.widen()));
                result.write((one * weights[0] + other * weights[1]) as f32);
            }
        }
    }
}

/// The shares of two parts by their log-sum-exps, and that of both.
#[inline(always)]
fn weights(first: f32, second: f32) -> ([f64; 2], f32) {
    let usable = |sum: f32| sum < f32::INFINITY;
    if !usable(first) || !usable(second) {
        return ([f64::NAN; 2], f32::NAN);
    }
    let greatest = if first > second { first } else { second };
    if greatest == f32::NEG_INFINITY {
        return ([0.0; 2], greatest);
    }
    let share = |sum: f32| (f64::from(sum) - f64::from(greatest)).exp();
    let [one, other] = [share(first), share(second)];
    let sum = one + other;
    ([one / sum, other / sum], (f64::from(greatest) + sum.ln()) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weighs_parts_by_their_sums_of_exponentials() {
        for (first, second) in
            [(0.0, 0.0), (1.5, -2.0), (-300.0, -301.0), (80.0, 79.5), (3.0, 90.0)]
        {
            let ([one, other], merged) = weights(first, second);
            let (a, b) = (f64::from(first), f64::from(second));
            let exact = a.max(b) + ((a - a.max(b)).exp() + (b - a.max(b)).exp()).ln();
            assert!((f64::from(merged) - exact).abs() <= 1e-6 * exact.abs().max(1.0));
            assert!((one - (a - exact).exp()).abs() < 1e-12);
            assert!((other - (b - exact).exp()).abs() < 1e-12);
        }
    }

    #[test]
    fn a_part_without_keys_adds_nothing_and_what_is_not_a_number_shows() {
        let none = f32::NEG_INFINITY;
        assert_eq!(weights(none, 2.5), ([0.0, 1.0], 2.5));
        assert_eq!(weights(-1.0, none), ([1.0, 0.0], -1.0));
        assert_eq!(weights(none, none), ([0.0, 0.0], none));
        for (first, second) in [(f32::NAN, 0.0), (0.0, f32::NAN), (f32::INFINITY, 0.0)] {
            let (shares, merged) = weights(first, second);
            assert!(shares[0].is_nan() && shares[1].is_nan() && merged.is_nan());
        }
    }
}
