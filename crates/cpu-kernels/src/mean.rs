//! The mean of all elements, bit for bit as torch computes it.

use crate::{TensorMut, TensorRef};

/// Numbers in a vector of torch's.
const LANES: usize = 8;
/// Vectors, or numbers, summed side by side.
const ROWS: usize = 4;
/// Levels of partial sums: each level's chunks are summed into the one above.
const LEVELS: usize = 4;

/// The mean of a contiguous `Float32` input, to one `Float32`; NaN where it has no elements.
///
/// Sums in the order of torch's CPU kernel with 256-bit vectors on one thread
/// (`aten/src/ATen/native/cpu/SumKernel.cpp`, `cascade_sum`): chunks of 16 and more, their sums in
/// chunks again, so that only numbers of similar size are added.
pub fn mean(input: &TensorRef, output: &TensorMut) {
    let values = input.as_slice::<f32>();
    assert_eq!(output.layout.count(), 1);
    let result = sum(values) / values.len() as f32;
    // SAFETY: the output has one element, of this type, that only this call writes.
    unsafe { output.as_mut_ptr::<f32>().write(result) };
}

fn sum(values: &[f32]) -> f32 {
    if values.len() < LANES {
        let numbers: Vec<[f32; 1]> = values.iter().map(|&value| [value]).collect();
        return row_sum(&numbers)[0];
    }
    let (vectors, rest) = values.as_chunks::<LANES>();
    let lanes = row_sum(vectors);
    rest.iter().chain(&lanes).fold(0.0, |sum, value| sum + value)
}

/// The sum of vectors, lane by lane.
fn row_sum<const N: usize>(vectors: &[[f32; N]]) -> [f32; N] {
    let (rows, rest) = vectors.as_chunks::<ROWS>();
    let mut sums = cascade(rows);
    for vector in rest {
        add(&mut sums[0], vector);
    }
    let [mut total, others @ ..] = sums;
    for other in &others {
        add(&mut total, other);
    }
    total
}

/// The sums of rows of vectors, each place by itself.
fn cascade<const N: usize>(rows: &[[[f32; N]; ROWS]]) -> [[f32; N]; ROWS] {
    let power = (ceil_log2(rows.len()) / LEVELS).max(4);
    let step = 1 << power;
    let mut levels = [[[0.0; N]; ROWS]; LEVELS];
    let mut done = 0;
    let chunks = rows.chunks_exact(step);
    let rest = chunks.remainder();
    for chunk in chunks {
        for row in chunk {
            add_rows(&mut levels[0], row);
        }
        done += step;
        for level in 1..LEVELS {
            let below = std::mem::replace(&mut levels[level - 1], [[0.0; N]; ROWS]);
            add_rows(&mut levels[level], &below);
            if done & ((step - 1) << (level * power)) != 0 {
                break;
            }
        }
    }
    for row in rest {
        add_rows(&mut levels[0], row);
    }
    let [mut total, above @ ..] = levels;
    for level in &above {
        add_rows(&mut total, level);
    }
    total
}

fn add_rows<const N: usize>(sums: &mut [[f32; N]; ROWS], rows: &[[f32; N]; ROWS]) {
    for (sum, row) in sums.iter_mut().zip(rows) {
        add(sum, row);
    }
}

fn add<const N: usize>(sum: &mut [f32; N], vector: &[f32; N]) {
    for (sum, value) in sum.iter_mut().zip(vector) {
        *sum += value;
    }
}

fn ceil_log2(count: usize) -> usize {
    if count <= 2 { 1 } else { (usize::BITS - (count - 1).leading_zeros()) as usize }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[f32]) -> f32 {
        let mut output = [0.0];
        let view = TensorMut::from_slice(&mut output, &[1]);
        mean(&TensorRef::from_slice(values, &[values.len()]), &view);
        output[0]
    }

    #[test]
    fn is_exact_where_the_sum_is() {
        for count in [1, 7, 8, 31, 32, 33, 4097, 100_000] {
            let values: Vec<f32> = (0..count).map(|i| (i % 5) as f32 * 0.25).collect();
            let exact: f64 = values.iter().map(|&value| f64::from(value)).sum();
            assert_eq!(of(&values), exact as f32 / count as f32, "{count}");
        }
        assert!(of(&[]).is_nan());
    }

    #[test]
    fn keeps_what_a_running_sum_loses() {
        let values = vec![0.1f32; 10_000_000];
        assert!((of(&values) - 0.1).abs() < 1e-7);
    }
}
