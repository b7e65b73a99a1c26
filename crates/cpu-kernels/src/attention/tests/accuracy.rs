//! Errors against float64.

use super::kinds;
use super::problem::{Answer, Extents, Mask, Problem, fill, from_bits, random, to_bits, write};
use crate::{DType, InstructionSet, Layout};

/// The error that float32 arithmetic is allowed, relative to the norm of a problem's output.
const FLOAT32_ERROR: f64 = 1e-6;

/// ‖found − wanted‖ / ‖wanted‖.
pub fn relative_error(found: &[f32], wanted: &[f64]) -> f64 {
    let pairs = found.iter().zip(wanted);
    let difference: f64 = pairs.map(|(f, w)| (f64::from(*f) - w).powi(2)).sum();
    let norm: f64 = wanted.iter().map(|w| w * w).sum();
    if difference == 0.0 { 0.0 } else { (difference / norm).sqrt() }
}

/// What the relative error can be: of float32 arithmetic, of rounding the output, and of rounding
/// probabilities where the kernel computes with bfloat16.
fn tolerance(set: InstructionSet, dtype: DType) -> f64 {
    let (bfloat16_rounding, float16_rounding) = (2f64.powi(-8), 2f64.powi(-11));
    match (dtype, set) {
        (DType::BFloat16, InstructionSet::Avx512Bf16) => 2.0 * bfloat16_rounding,
        (DType::BFloat16, _) => FLOAT32_ERROR + bfloat16_rounding,
        (DType::Float16, _) => FLOAT32_ERROR + float16_rounding,
        _ => FLOAT32_ERROR,
    }
}

/// Checks output and log-sum-exp. `logit_error` is how far a logit may be off: its probability is off
/// by as much, relatively.
fn check(problem: &Problem, answer: &Answer, set: InstructionSet, logit_error: f64) {
    let context = format!("{:?} {:?} {set:?}", problem.extents, problem.dtype);
    let (output, log_sum_exp) = problem.reference(|value| value);
    let error = relative_error(&answer.output_values(), &output);
    let bound = tolerance(set, problem.dtype) + logit_error;
    assert!(error <= bound, "{context}: output is off by {error:e}, above {bound:e}");
    // The bfloat16 kernel's exponential is good to 2.8e-6.
    for (found, wanted) in answer.log_sum_exp_values().iter().zip(&log_sum_exp) {
        let bound = 4e-6 + 1e-6 * wanted.abs() + logit_error;
        let error = (f64::from(*found) - wanted).abs();
        assert!(
            error <= bound || f64::from(*found) == *wanted,
            "{context}: log-sum-exp {found}, not {wanted}"
        );
    }
    if problem.dtype == DType::BFloat16 {
        let bfloat16 =
            |value: f64| f64::from(from_bits(to_bits(value as f32, problem.dtype), problem.dtype));
        let plain = problem.reference(bfloat16).0;
        let greatest = |values: &mut dyn Iterator<Item = f64>| -> f64 {
            let pairs = values.zip(&output);
            pairs.map(|(value, wanted)| (value - wanted).abs()).fold(0.0, f64::max)
        };
        let plain = greatest(&mut plain.iter().copied());
        let ours = greatest(&mut answer.output_values().into_iter().map(f64::from));
        assert!(ours <= 2.0 * plain, "{context}: {ours:e}, a plain computation has {plain:e}");
    }
}

fn extents(queries: usize, keys: usize, heads: usize, head_size: usize) -> Extents {
    Extents { batch: 1, queries, keys, heads, head_size }
}

#[test]
fn odd_lengths() {
    for (set, dtype) in kinds() {
        for keys in [1, 2, 13, 33, 255, 257, 511, 513, 600] {
            for (queries, head_size) in [(1, 64), (29, 40)] {
                let problem = Problem::random(extents(queries, keys, 2, head_size), dtype);
                check(&problem, &problem.solve(set, 2), set, 0.0);
            }
        }
    }
}

#[test]
fn every_head_size() {
    for (set, dtype) in kinds() {
        for head_size in (1..34).chain([
            40, 48, 63, 64, 65, 80, 96, 127, 128, 160, 200, 255, 256, 257, 384, 512, 640, 1023,
            1024,
        ]) {
            let problem = Problem::random(extents(5, 35, 1, head_size), dtype);
            // A logit is a chain of head-size roundings, whose error grows with the chain's root;
            // beyond 512 it leaves the room that the bound has.
            let chain =
                if head_size > 512 { (head_size as f64).sqrt() * 2f64.powi(-24) } else { 0.0 };
            check(&problem, &problem.solve(set, 1), set, chain);
        }
    }
}

#[test]
fn many_rows_heads_and_batches() {
    for (set, dtype) in kinds() {
        let extents = Extents { batch: 2, queries: 231, keys: 270, heads: 3, head_size: 24 };
        let problem = Problem::random(extents, dtype);
        check(&problem, &problem.solve(set, 3), set, 0.0);
    }
}

#[test]
fn long_sums_stay_accurate() {
    for set in InstructionSet::available() {
        let problem = Problem::random(extents(2, 20_000, 1, 16), DType::Float32);
        check(&problem, &problem.solve(set, 2), set, 0.0);
    }
}

#[test]
fn slices_of_one_tensor() {
    for (set, dtype) in kinds() {
        let whole = Extents { batch: 2, queries: 37, keys: 37, heads: 3, head_size: 20 };
        let problem = Problem::random(whole, dtype);
        let (heads, size) = (whole.heads, whole.head_size);
        // (batch, sequence, 3, heads, head size), and a first element of something else.
        let row = 3 * heads * size;
        let layout = |slice: usize| Layout {
            shape: vec![whole.batch, whole.queries, heads, size],
            strides: vec![whole.queries * row, row, size, 1],
            offset: 1 + slice * heads * size,
        };
        let inputs = [&problem.query, &problem.key, &problem.value];
        let slices: Vec<_> = (0..3)
            .map(|slice| {
                let mut storage = fill(inputs[2], &layout(2), dtype);
                for (slice, values) in inputs.iter().enumerate() {
                    write(&mut storage, values, &layout(slice));
                }
                (storage, layout(slice))
            })
            .collect();
        let answer = problem.solve_from([&slices[0], &slices[1], &slices[2]], set, 2);
        assert_eq!(answer, problem.solve(set, 1), "{set:?} {dtype:?}");
    }
}

#[test]
fn heads_before_rows_and_gaps_between_rows() {
    for (set, dtype) in kinds() {
        let whole = Extents { batch: 2, queries: 18, keys: 21, heads: 3, head_size: 11 };
        let problem = Problem::random(whole, dtype);
        let stored = |values: &[f32], length: usize, gap: usize| {
            let row = whole.head_size + gap;
            let layout = Layout {
                shape: vec![whole.batch, length, whole.heads, whole.head_size],
                strides: vec![whole.heads * length * row, row, length * row, 1],
                offset: 3,
            };
            (fill(values, &layout, dtype), layout)
        };
        let query = stored(&problem.query, whole.queries, 0);
        let key = stored(&problem.key, whole.keys, 1);
        let value = stored(&problem.value, whole.keys, 5);
        let answer = problem.solve_from([&query, &key, &value], set, 2);
        assert_eq!(answer, problem.solve(set, 1), "{set:?} {dtype:?}");
    }
}

#[test]
fn masks_are_added_and_repeated() {
    for (set, dtype) in kinds() {
        let whole = Extents { batch: 2, queries: 19, keys: 530, heads: 3, head_size: 16 };
        let Extents { batch, queries, keys, heads, .. } = whole;
        let full = Layout::contiguous(&[batch, heads, queries, keys]);
        let by_key = Layout::contiguous(&[batch, 1, 1, keys]);
        let by_row = Layout {
            shape: vec![batch, heads, queries, keys],
            strides: vec![0, queries, 1, 0],
            offset: 0,
        };
        let of_row = Layout::contiguous(&[1, heads, queries, 1]);
        for layout in [full, by_key, by_row, of_row] {
            let mut elements = random(9, layout.end());
            for (index, element) in elements.iter_mut().enumerate() {
                if index % 3 == 1 {
                    *element = f32::NEG_INFINITY;
                }
            }
            let mut problem = Problem::random(whole, dtype);
            problem.mask = Some(Mask { elements, layout });
            check(&problem, &problem.solve(set, 2), set, 0.0);
        }
    }
}

#[test]
fn large_logits() {
    for (set, dtype) in kinds() {
        for factor in [30.0, 1000.0] {
            let mut problem = Problem::random(extents(17, 300, 1, 64), dtype);
            problem.scale *= factor;
            // A sum of 64 float32 products of size 1 is off by up to 64 · 2^-24 of its terms' sum,
            // which is below 80 here.
            let logit_error = 80.0 * f64::from(problem.scale) * 64.0 * 2f64.powi(-24);
            check(&problem, &problem.solve(set, 1), set, logit_error);
        }
    }
}

#[test]
fn negative_and_zero_scales() {
    for (set, dtype) in kinds() {
        for scale in [-0.3, 0.0, -0.0] {
            let mut problem = Problem::random(extents(17, 300, 1, 24), dtype);
            problem.scale = scale;
            check(&problem, &problem.solve(set, 1), set, 0.0);
        }
    }
}
