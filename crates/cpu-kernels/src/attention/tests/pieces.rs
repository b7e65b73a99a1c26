//! Keys in pieces: the bytes of keys in one.

use super::kinds;
use super::problem::{Answer, Extents, Problem, Storage, fill};
use crate::attention::{
    LogSumExp, PieceArguments, PieceResult, attention_to_piece, carried_length, keys_of_block,
};
use crate::{Cpu, DType, InstructionSet, Layout, TensorRef, ThreadPool};

fn view((storage, layout): &(Storage, Layout)) -> TensorRef<'_> {
    storage.view(layout.clone())
}

/// The answer for keys cut at `cuts`, each piece attended to as soon as it and what was left fill a
/// block.
fn in_pieces(problem: &Problem, set: InstructionSet, threads: usize, cuts: &[usize]) -> Answer {
    let Extents { batch, queries, keys, heads, head_size } = problem.extents;
    let pool = ThreadPool::new(threads);
    let cpu = Cpu { pool: &pool, instruction_set: set };
    let block = keys_of_block(set, problem.dtype);
    let stored = |values: &[f32], length| {
        let layout = Layout::contiguous(&[batch, length, heads, head_size]);
        (fill(values, &layout, problem.dtype), layout)
    };
    let of_keys = |start: usize, end: usize| {
        let part = problem.of_keys(start..end);
        [stored(&part.key, end - start), stored(&part.value, end - start)]
    };
    let query = stored(&problem.query, queries);
    let rows = batch * queries * heads;
    let mut output = Storage::zeroed(rows * head_size, problem.dtype);
    let [mut log_sum_exp, mut residue] = [(); 2].map(|()| Storage::zeroed(rows, DType::Float32));
    let sums_shape = [batch, queries, heads, carried_length(head_size)];
    let mut carried: Option<Storage> = None;
    let mut first_left = 0;
    let ends: Vec<usize> = cuts.iter().copied().chain([keys]).collect();
    let mut start = 0;
    for &end in &ends {
        let [key, value] = of_keys(start, end);
        let left = (first_left < start).then(|| of_keys(first_left, start));
        let is_last = end == keys;
        let mut sums = Storage::zeroed(rows * carried_length(head_size), DType::Float32);
        attention_to_piece(
            &cpu,
            &PieceArguments {
                query: view(&query),
                left: left.as_ref().map(|[key, value]| [view(key), view(value)]),
                key: view(&key),
                value: view(&value),
                scale: problem.scale,
                carried: carried.as_ref().map(|sums| sums.view(Layout::contiguous(&sums_shape))),
                result: if is_last {
                    PieceResult::Attended {
                        output: output.view_mut(&[batch, queries, heads, head_size]),
                        log_sum_exp: Some(LogSumExp {
                            rounded: log_sum_exp.view_mut(&[batch, queries, heads]),
                            residue: residue.view_mut(&[batch, queries, heads]),
                        }),
                    }
                } else {
                    PieceResult::Carried(sums.view_mut(&sums_shape))
                },
            },
        );
        carried = Some(sums);
        first_left = end - (end - first_left) % block;
        start = end;
        if is_last {
            break;
        }
    }
    Answer {
        output: output.bits(rows * head_size),
        log_sum_exp: log_sum_exp.bits(rows),
        residue: residue.bits(rows),
        dtype: problem.dtype,
    }
}

#[test]
fn pieces_do_not_show() {
    for (set, dtype) in kinds() {
        let block = keys_of_block(set, dtype);
        for (queries, heads, head_size) in [(33, 2, 40), (5, 1, 19), (230, 1, 64)] {
            let keys = 2 * block + 77;
            let problem =
                Problem::random(Extents { batch: 2, queries, keys, heads, head_size }, dtype);
            let whole = problem.solve(set, 2);
            let cuts: [&[usize]; 6] = [
                &[block],
                &[block - 1],
                &[block + 1, 2 * block + 1],
                &[3, block / 2],
                &[0, block / 2 + 3, block + 9, 2 * block],
                &[2 * block + 76],
            ];
            for cuts in cuts {
                for threads in [1, 3] {
                    let found = in_pieces(&problem, set, threads, cuts);
                    assert!(found == whole, "{set:?} {dtype:?}, {threads} threads, {cuts:?}");
                }
            }
        }
    }
}

/// What isn't finite passes through the carried sums as well.
#[test]
fn pieces_do_not_show_in_special_rows() {
    for (set, dtype) in kinds() {
        let block = keys_of_block(set, dtype);
        let extents = Extents { batch: 1, queries: 4, keys: block + 40, heads: 1, head_size: 16 };
        for (place, special) in
            [(3 * 16, f32::NAN), (16, f32::INFINITY), (0, f32::NEG_INFINITY), (2 * 16 + 5, -3e38)]
        {
            let mut problem = Problem::random(extents, dtype);
            problem.query[place] = special;
            assert!(in_pieces(&problem, set, 1, &[block + 1]) == problem.solve(set, 1));
            let mut problem = Problem::random(extents, dtype);
            problem.key[place] = special;
            assert!(in_pieces(&problem, set, 1, &[block + 1]) == problem.solve(set, 1));
        }
    }
}

#[test]
fn keys_may_all_be_left_to_the_last_step() {
    for (set, dtype) in kinds() {
        let extents = Extents { batch: 1, queries: 7, keys: 30, heads: 3, head_size: 24 };
        let problem = Problem::random(extents, dtype);
        assert!(in_pieces(&problem, set, 2, &[7, 13, 29]) == problem.solve(set, 2));
        assert!(in_pieces(&problem, set, 2, &[0, 0]) == problem.solve(set, 2));
    }
}
