//! Infinities, NaN, masked rows and empty extents.

use super::kinds;
use super::problem::{Extents, Mask, Problem};
use crate::{DType, Layout};

const EXTENTS: Extents = Extents { batch: 1, queries: 30, keys: 600, heads: 2, head_size: 24 };

/// Checks that output and log-sum-exp are NaN, infinite and finite where the reference's are.
fn same_kinds_of_numbers(problem: &Problem, context: &str) {
    for (set, dtype) in kinds() {
        let problem = Problem { dtype, ..problem.clone() };
        let answer = problem.solve(set, 2);
        let (output, log_sum_exp) = problem.reference(|value| value);
        let same = |found: f32, wanted: f64| {
            found.is_nan() == wanted.is_nan()
                && (wanted.is_finite() && found.is_finite()
                    || wanted.is_nan()
                    || f64::from(found) == wanted)
        };
        for (index, (found, wanted)) in answer.output_values().iter().zip(&output).enumerate() {
            assert!(
                same(*found, *wanted),
                "{context} {set:?} {dtype:?}: {found} at {index}, not {wanted}"
            );
        }
        for (found, wanted) in answer.log_sum_exp_values().iter().zip(&log_sum_exp) {
            assert!(same(*found, *wanted), "{context} {set:?} {dtype:?}: {found}, not {wanted}");
        }
        // The residue is 0 where there is nothing finite to add it to, and then adds nothing.
        for (found, whole) in answer.log_sum_exp_values().iter().zip(answer.whole_log_sum_exp()) {
            assert!(found.is_finite() || whole.to_bits() == f64::from(*found).to_bits());
        }
    }
}

/// Position of an element of the query (or, by `key` for `query`, of the key or value).
fn place(query: usize, head: usize, channel: usize) -> usize {
    (query * EXTENTS.heads + head) * EXTENTS.head_size + channel
}

#[test]
fn nan_stays_in_its_row_head_or_channel() {
    let clean = Problem::random(EXTENTS, DType::BFloat16);
    let mut problem = clean.clone();
    problem.query[place(16, 1, 3)] = f32::NAN;
    same_kinds_of_numbers(&problem, "query");
    let mut problem = clean.clone();
    problem.key[place(555, 1, 23)] = f32::NAN;
    same_kinds_of_numbers(&problem, "key");
    let mut problem = clean;
    problem.value[place(5, 0, 7)] = f32::NAN;
    same_kinds_of_numbers(&problem, "value");
}

#[test]
fn infinities() {
    let clean = Problem::random(EXTENTS, DType::BFloat16);
    for infinity in [f32::INFINITY, f32::NEG_INFINITY] {
        for key in [0, 300, 599] {
            let mut problem = clean.clone();
            problem.key[place(key, 1, 3)] = infinity;
            same_kinds_of_numbers(&problem, "key");
            let mut problem = clean.clone();
            problem.value[place(key, 1, 3)] = infinity;
            same_kinds_of_numbers(&problem, "value");
        }
        let mut problem = clean.clone();
        problem.query[place(16, 1, 3)] = infinity;
        same_kinds_of_numbers(&problem, "query");
        // All of a row's scores are then infinite, of one sign or the other.
        for key in 0..EXTENTS.keys {
            problem.key[place(key, 1, 3)] = 1.0;
        }
        same_kinds_of_numbers(&problem, "one sign");
    }
}

#[test]
fn rows_without_a_key_are_zeros() {
    let Extents { queries, keys, .. } = EXTENTS;
    let mut elements = vec![0.0; queries * keys];
    // Row 3 sees nothing, row 4 only the last key, row 5 only the first.
    elements[3 * keys..6 * keys].fill(f32::NEG_INFINITY);
    elements[5 * keys - 1] = 0.0;
    elements[5 * keys] = 0.0;
    let mask = Some(Mask { elements, layout: Layout::contiguous(&[1, 1, queries, keys]) });
    let problem = Problem { mask, ..Problem::random(EXTENTS, DType::BFloat16) };
    same_kinds_of_numbers(&problem, "masked rows");
    for (set, dtype) in kinds() {
        let mut problem = Problem { dtype, ..problem.clone() };
        let values = problem.solve(set, 1).output_values();
        for channel in 0..EXTENTS.head_size {
            assert_eq!(values[place(3, 1, channel)].to_bits(), 0);
            assert_eq!(values[place(4, 1, channel)], problem.value[place(keys - 1, 1, channel)]);
            assert_eq!(values[place(5, 1, channel)], problem.value[place(0, 1, channel)]);
        }
        problem.value[place(7, 1, 0)] = f32::NAN;
        let answer = problem.solve(set, 1);
        assert_eq!(answer.output_values()[place(3, 1, 0)].to_bits(), 0);
        assert!(answer.output_values()[place(6, 1, 0)].is_nan());
        assert_eq!(answer.log_sum_exp_values()[3 * EXTENTS.heads + 1], f32::NEG_INFINITY);
        assert_eq!(answer.residue[3 * EXTENTS.heads + 1], 0);
    }
}

#[test]
fn the_most_negative_mask_is_not_infinity() {
    let layout = Layout { shape: vec![1, 2, 30, 600], strides: vec![0; 4], offset: 0 };
    let mask = Some(Mask { elements: vec![f32::MIN], layout });
    for (set, dtype) in kinds() {
        let problem =
            Problem { dtype, mask: mask.clone(), ..Problem::random(EXTENTS, DType::BFloat16) };
        // The scores vanish beside the mask: what is left is the mean of the values.
        let values = problem.solve(set, 1).output_values();
        let column = (0..EXTENTS.keys).map(|key| f64::from(problem.value[place(key, 1, 5)]));
        let mean = column.sum::<f64>() / EXTENTS.keys as f64;
        let error = (f64::from(values[place(8, 1, 5)]) - mean).abs();
        assert!(error < 1e-3, "{set:?} {dtype:?}: off by {error}");
    }
}

#[test]
fn scores_near_the_greatest_float() {
    for (set, _) in kinds() {
        let mut problem = Problem::random(EXTENTS, DType::Float32);
        for value in problem.query.iter_mut().chain(&mut problem.key) {
            *value *= 1e18;
        }
        assert!(problem.solve(set, 1).output_values().iter().all(|value| value.is_finite()));
    }
}

#[test]
fn empty_extents() {
    for (set, dtype) in kinds() {
        let no_keys = Problem::random(Extents { keys: 0, ..EXTENTS }, dtype).solve(set, 2);
        assert!(no_keys.output.iter().all(|bits| *bits == 0));
        assert!(no_keys.log_sum_exp_values().iter().all(|value| *value == f32::NEG_INFINITY));
        for extents in [
            Extents { queries: 0, ..EXTENTS },
            Extents { batch: 0, ..EXTENTS },
            Extents { heads: 0, ..EXTENTS },
        ] {
            assert!(Problem::random(extents, dtype).solve(set, 2).output.is_empty());
        }
    }
}
