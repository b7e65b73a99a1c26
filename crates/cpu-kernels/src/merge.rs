//! Attention over parts of the keys, put together.

use crate::element::{Float, for_float};
use crate::float::two_floats;
use crate::multiversion::per_instruction_set;
use crate::rows;
use crate::walk::{Walk, part, span};
use crate::{Cpu, TensorMut, TensorRef};
use std::mem::MaybeUninit;
use std::ops::Range;

/// Attention over some of the keys: its output (…, D) and the log-sum-exp (…) of its scores.
#[derive(Clone, Copy)]
pub struct AttentionPart<'a, 'b> {
    /// (…, D).
    pub output: &'a TensorRef<'b>,
    /// `Float32` (…).
    pub log_sum_exp: &'a TensorRef<'b>,
    /// `Float32` (…): what is to be added to the log-sum-exp, where more of it is known.
    pub residue: Option<&'a TensorRef<'b>>,
}

/// Attention over the keys of both parts, in `f64` and rounded once: contiguous tensors of the same
/// shapes, of which `first.output` and `output` are `Float32` and `second.output` any float type.
/// `residue` is what rounding took from `log_sum_exp`.
///
/// A part without keys, whose log-sum-exp is minus infinity, adds nothing; a log-sum-exp that is NaN
/// or infinite makes its row NaN.
pub fn merge_attention(
    cpu: &Cpu,
    first: AttentionPart,
    second: AttentionPart,
    output: &TensorMut,
    log_sum_exp: &TensorMut,
    residue: &TensorMut,
) {
    for_float!(second.output.dtype, T => merge::<T>(cpu, first, second, output, log_sum_exp, residue));
}

impl AttentionPart<'_, '_> {
    fn sums(&self) -> Sums<'_> {
        Sums {
            rounded: self.log_sum_exp.as_slice::<f32>(),
            residue: self.residue.map(|residue| residue.as_slice::<f32>()),
        }
    }
}

/// The log-sum-exps of some rows of a part.
#[derive(Clone, Copy)]
struct Sums<'a> {
    rounded: &'a [f32],
    residue: Option<&'a [f32]>,
}

impl<'a> Sums<'a> {
    fn rows(self, rows: Range<usize>) -> Sums<'a> {
        let Sums { rounded, residue } = self;
        Sums { rounded: &rounded[rows.clone()], residue: residue.map(|residue| &residue[rows]) }
    }

    #[inline(always)]
    fn get(&self, row: usize) -> f64 {
        f64::from(self.rounded[row]) + self.residue.map_or(0.0, |residue| f64::from(residue[row]))
    }
}

fn merge<T: Float>(
    cpu: &Cpu,
    first: AttentionPart,
    second: AttentionPart,
    output: &TensorMut,
    log_sum_exp: &TensorMut,
    residue: &TensorMut,
) {
    let (_, size) = rows::split(output);
    let one = first.output.as_slice::<f32>();
    assert_eq!((second.output.shape(), one.len()), (output.shape(), output.layout.count()));
    assert!(second.output.layout.is_contiguous());
    // SAFETY: contiguous, so its elements are one run.
    let other: &[T] = unsafe { span(second.output, 0, one.len(), 1) };
    let sums = [first.sums(), second.sums()];
    assert_eq!(residue.shape(), log_sum_exp.shape());
    let walk = Walk::new(log_sum_exp.shape(), [&log_sum_exp.layout.strides]);
    walk.for_each_run(cpu, rows::grain(size), |[row], count| {
        let values = row * size..(row + count) * size;
        // SAFETY: the walk's runs lie within the outputs and don't overlap; a row of the first has
        // `size` consecutive elements.
        let (results, merged) = unsafe {
            (
                part::<f32>(output, values.start, values.len()),
                [log_sum_exp, residue].map(|sums| part::<f32>(sums, row, count)),
            )
        };
        let [first, second] = sums.map(|sums| sums.rows(row..row + count));
        merge_rows::<T>(
            cpu.instruction_set,
            (&one[values.clone()], first),
            (&other[values], second),
            results,
            merged,
        );
    });
}

per_instruction_set! {
    /// As many rows as there are log-sum-exps.
    fn merge_rows<T: Float>(
        first: (&[f32], Sums),
        second: (&[T], Sums),
        results: &mut [MaybeUninit<f32>],
        merged: [&mut [MaybeUninit<f32>]; 2],
    ) {
        let [rounded, residue] = merged;
        let size = results.len() / rounded.len().max(1);
        for (row, merged) in rounded.iter_mut().zip(residue).enumerate() {
            let (weights, log_sum_exp) = weights(first.1.get(row), second.1.get(row));
            let [rounded, residue] = two_floats(log_sum_exp);
            merged.0.write(rounded);
            merged.1.write(residue);
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
fn weights(first: f64, second: f64) -> ([f64; 2], f64) {
    let usable = |sum: f64| sum < f64::INFINITY;
    if !usable(first) || !usable(second) {
        return ([f64::NAN; 2], f64::NAN);
    }
    let greatest = if first > second { first } else { second };
    if greatest == f64::NEG_INFINITY {
        return ([0.0; 2], greatest);
    }
    let share = |sum: f64| (sum - greatest).exp();
    let [one, other] = [share(first), share(second)];
    let sum = one + other;
    ([one / sum, other / sum], greatest + sum.ln())
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
            let (a, b): (f64, f64) = (first, second);
            let exact = a.max(b) + ((a - a.max(b)).exp() + (b - a.max(b)).exp()).ln();
            assert!((merged - exact).abs() <= 1e-14 * exact.abs().max(1.0));
            assert!((one - (a - exact).exp()).abs() < 1e-12);
            assert!((other - (b - exact).exp()).abs() < 1e-12);
        }
    }

    #[test]
    fn a_part_without_keys_adds_nothing_and_what_is_not_a_number_shows() {
        let none = f64::NEG_INFINITY;
        assert_eq!(weights(none, 2.5), ([0.0, 1.0], 2.5));
        assert_eq!(weights(-1.0, none), ([1.0, 0.0], -1.0));
        assert_eq!(weights(none, none), ([0.0, 0.0], none));
        for (first, second) in [(f64::NAN, 0.0), (0.0, f64::NAN), (f64::INFINITY, 0.0)] {
            let (shares, merged) = weights(first, second);
            assert!(shares[0].is_nan() && shares[1].is_nan() && merged.is_nan());
        }
    }
}
