//! The arithmetic of a warp's part of an asynchronous product.

use super::matrix_descriptor::DEPTH;
use super::step::InstructionSet;

/// Rows that a warp computes.
pub const ROWS: usize = 16;

/// Adds `first · second` to the sums, rows one after another; second's rows are as long.
pub fn add_products(sums: &mut [f32], first: &[[f32; DEPTH]; ROWS], second: &[f32]) {
    match InstructionSet::detect() {
        InstructionSet::Portable => add(sums, first, second),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the machine has these, as was just detected.
        InstructionSet::Avx2 => unsafe { add_avx2(sums, first, second) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        InstructionSet::Avx512 => unsafe { add_avx512(sums, first, second) },
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn add_avx2(sums: &mut [f32], first: &[[f32; DEPTH]; ROWS], second: &[f32]) {
    add(sums, first, second);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,avx512f,avx512vl,avx512bw,avx512dq")]
fn add_avx512(sums: &mut [f32], first: &[[f32; DEPTH]; ROWS], second: &[f32]) {
    add(sums, first, second);
}

/// Each sum by its own chain of fused additions, in the order of the depth.
#[inline(always)]
fn add(sums: &mut [f32], first: &[[f32; DEPTH]; ROWS], second: &[f32]) {
    let width = sums.len() / ROWS;
    for (sums, factors) in sums.chunks_exact_mut(width).zip(first) {
        for (factor, numbers) in factors.iter().zip(second.chunks_exact(width)) {
            for (sum, number) in sums.iter_mut().zip(numbers) {
                *sum = factor.mul_add(*number, *sum);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_instruction_set_gives_the_same_sums() {
        let number = |place: usize| ((place * 37 + 11) % 101) as f32 / 50.0 - 1.0;
        let first: [[f32; DEPTH]; ROWS] =
            std::array::from_fn(|row| std::array::from_fn(|depth| number(row * DEPTH + depth)));
        let second: Vec<f32> = (0..DEPTH * 24).map(|place| number(place + 5)).collect();
        let mut portable = vec![0.5; ROWS * 24];
        let mut widest = portable.clone();
        add(&mut portable, &first, &second);
        add_products(&mut widest, &first, &second);
        assert_eq!(portable, widest);
        let exact: f64 = (0..DEPTH)
            .map(|depth| f64::from(first[3][depth]) * f64::from(second[depth * 24 + 7]))
            .sum();
        assert!((f64::from(portable[3 * 24 + 7]) - 0.5 - exact).abs() < 1e-5);
    }
}
