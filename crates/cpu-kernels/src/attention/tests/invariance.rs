//! A row's bytes, whatever is computed beside it.

use super::kinds;
use super::problem::{Answer, Extents, Problem};
use std::ops::Range;

/// What [`Problem::part`] keeps of an answer.
fn part_of_answer(
    answer: &Answer,
    whole: Extents,
    batches: Range<usize>,
    queries: Range<usize>,
    heads: Range<usize>,
) -> [Vec<u32>; 3] {
    let [mut output, mut log_sum_exp, mut residue] = [const { Vec::new() }; 3];
    for batch in batches {
        for query in queries.clone() {
            for head in heads.clone() {
                let row = (batch * whole.queries + query) * whole.heads + head;
                let first = row * whole.head_size;
                output.extend_from_slice(&answer.output[first..first + whole.head_size]);
                log_sum_exp.push(answer.log_sum_exp[row]);
                residue.push(answer.residue[row]);
            }
        }
    }
    [output, log_sum_exp, residue]
}

/// Problems whose heads are cut into several tasks, and with whole heads as tasks.
fn wholes() -> [Extents; 2] {
    [
        Extents { batch: 2, queries: 47, keys: 600, heads: 3, head_size: 40 },
        Extents { batch: 1, queries: 240, keys: 261, heads: 2, head_size: 19 },
    ]
}

#[test]
fn threads_do_not_show() {
    for (set, dtype) in kinds() {
        for whole in wholes() {
            let problem = Problem::random(whole, dtype);
            let one = problem.solve(set, 1);
            for threads in [2, 3, 5, 16] {
                assert!(one == problem.solve(set, threads), "{set:?} {dtype:?} {threads}");
            }
        }
    }
}

#[test]
fn other_rows_do_not_show() {
    for (set, dtype) in kinds() {
        for whole in wholes() {
            let problem = Problem::random(whole, dtype);
            let all = problem.solve(set, 2);
            let batches = 0..whole.batch;
            let heads = 0..whole.heads;
            let alone = [0, 1, 13, 14, whole.queries - 1].map(|row| row..row + 1);
            for queries in alone.into_iter().chain([0..13, 1..16, 5..33, 20..47]) {
                let part = problem.part(batches.clone(), queries.clone(), heads.clone());
                let answer = part.solve(set, 2);
                let wanted =
                    part_of_answer(&all, whole, batches.clone(), queries.clone(), heads.clone());
                assert!(
                    [answer.output, answer.log_sum_exp, answer.residue] == wanted,
                    "{set:?} {dtype:?} rows {queries:?} of {whole:?}"
                );
            }
        }
    }
}

#[test]
fn other_heads_and_batches_do_not_show() {
    for (set, dtype) in kinds() {
        let whole = wholes()[0];
        let problem = Problem::random(whole, dtype);
        let all = problem.solve(set, 2);
        let queries = 0..whole.queries;
        for (batches, heads) in [(0..1, 0..3), (1..2, 1..2), (0..2, 2..3), (1..2, 0..2)] {
            let part = problem.part(batches.clone(), queries.clone(), heads.clone());
            let answer = part.solve(set, 1);
            let wanted =
                part_of_answer(&all, whole, batches.clone(), queries.clone(), heads.clone());
            assert!(
                [answer.output, answer.log_sum_exp, answer.residue] == wanted,
                "{set:?} {dtype:?} batches {batches:?}, heads {heads:?}"
            );
        }
    }
}
