//! Attention in parts of the keys, and what the log-sum-exp's residue is worth to it.

use super::problem::{Answer, Extents, Problem, Storage, from_bits};
use super::{accuracy::relative_error, kinds};
use crate::merge::{AttentionPart, merge_attention};
use crate::{Cpu, DType, InstructionSet, Layout, ThreadPool};

/// The log-sum-exp is that of the kernel's own sum: with equal scores this sum is exact.
#[test]
fn the_residue_holds_what_rounding_takes() {
    for (set, dtype) in kinds() {
        let keys = 600;
        let extents = Extents { batch: 1, queries: 3, keys, heads: 2, head_size: 16 };
        let mut problem = Problem::random(extents, dtype);
        (problem.query, problem.key) = (vec![1.5; 3 * 2 * 16], vec![1.75; keys * 2 * 16]);
        let exact = 1.5 * 1.75 * 16.0 / 4.0 + (keys as f64).ln();
        let answer = problem.solve(set, 2);
        for found in answer.whole_log_sum_exp() {
            assert!((found - exact).abs() < 1e-12 * exact, "{set:?} {dtype:?}: {found}");
        }
        assert!(answer.log_sum_exp_values().iter().all(|found| *found == exact as f32));
    }
}

/// The parts of a problem by ranges of its keys, and what their merger gives: output, then the whole
/// log-sum-exp.
fn merged(problem: &Problem, set: InstructionSet, cuts: &[usize], residues: bool) -> Answer {
    let Extents { batch, queries, keys, heads, head_size } = problem.extents;
    let rows = [batch, queries, heads];
    let shape = [batch, queries, heads, head_size];
    let of = |values: &[u32], dtype: DType, shape: &[usize]| {
        let mut storage = Storage::zeroed(values.len(), dtype);
        for (index, bits) in values.iter().enumerate() {
            storage.set(index, from_bits(*bits, dtype));
        }
        (storage, Layout::contiguous(shape))
    };
    let pool = ThreadPool::new(2);
    let cpu = Cpu { pool: &pool, instruction_set: set };
    let ends = cuts.iter().copied().chain([keys]);
    let starts = [0].into_iter().chain(cuts.iter().copied());
    let parts = starts.zip(ends).map(|(start, end)| problem.of_keys(start..end).solve(set, 1));
    parts
        .reduce(|first, second| {
            let [one, other] = [&first, &second].map(|part| {
                (
                    of(&part.output, part.dtype, &shape),
                    of(&part.log_sum_exp, DType::Float32, &rows),
                    of(&part.residue, DType::Float32, &rows),
                )
            });
            let views = [&one, &other].map(|(output, rounded, residue)| {
                [output, rounded, residue].map(|(storage, layout)| storage.view(layout.clone()))
            });
            let [one, other] = views.each_ref().map(|[output, log_sum_exp, residue]| {
                AttentionPart { output, log_sum_exp, residue: residues.then_some(residue) }
            });
            let count = first.output.len();
            let mut output = Storage::zeroed(count, DType::Float32);
            let [mut rounded, mut residue] =
                [(); 2].map(|()| Storage::zeroed(first.residue.len(), DType::Float32));
            merge_attention(
                &cpu,
                one,
                other,
                &output.view_mut(&shape),
                &rounded.view_mut(&rows),
                &residue.view_mut(&rows),
            );
            Answer {
                output: output.bits(count),
                log_sum_exp: rounded.bits(first.residue.len()),
                residue: residue.bits(first.residue.len()),
                dtype: DType::Float32,
            }
        })
        .expect("there is a part")
}

/// Scores about 75 above zero, each rounded by as much as 4e-6: parts and whole share those errors,
/// so what parts them is the rest.
#[test]
fn parts_are_the_whole_to_a_millionth_with_residues() {
    for set in InstructionSet::available() {
        let extents = Extents { batch: 1, queries: 9, keys: 1300, heads: 2, head_size: 128 };
        let mut problem = Problem::random(extents, DType::Float32);
        for value in problem.query.iter_mut().chain(&mut problem.key) {
            *value = 0.3 * *value + 2.5;
        }
        let whole = problem.solve(set, 2);
        let wanted: Vec<f64> = whole.output_values().into_iter().map(f64::from).collect();
        for cuts in [&[640][..], &[1, 333, 900]] {
            let error = |residues| {
                relative_error(&merged(&problem, set, cuts, residues).output_values(), &wanted)
            };
            let (with, without) = (error(true), error(false));
            assert!(with < 5e-7, "{set:?}, cut at {cuts:?}: off by {with:e}");
            assert!(without > 1e-6, "{set:?}, cut at {cuts:?}: off by {without:e}");
            let sums = merged(&problem, set, cuts, true).whole_log_sum_exp();
            for (found, wanted) in sums.iter().zip(whole.whole_log_sum_exp()) {
                assert!((found - wanted).abs() < 5e-7, "{set:?}: {found}, not {wanted}");
            }
        }
    }
}

#[test]
fn a_part_without_keys_changes_nothing() {
    let set = InstructionSet::detect();
    let extents = Extents { batch: 2, queries: 5, keys: 40, heads: 3, head_size: 24 };
    let problem = Problem::random(extents, DType::Float32);
    let whole = problem.solve(set, 1);
    for cuts in [[0], [40]] {
        let merged = merged(&problem, set, &cuts, true);
        assert_eq!(merged.output_values(), whole.output_values());
        assert_eq!(merged.whole_log_sum_exp(), whole.whole_log_sum_exp());
    }
}
