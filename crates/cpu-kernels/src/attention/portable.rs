//! Plain Rust: vectors of four `f32` that the compiler maps to the target's own.

use super::arithmetic::{Arithmetic, Lanes, Vector, entry_points};
use super::exponential::{HIGH_LN_2, LOW_LN_2, POLYNOMIAL, SUBNORMAL};
use crate::float::f16_to_f32;
use std::array::from_fn;
use std::f32::consts::LOG2_E;

const LANES: usize = 4;

/// Added to a small number, leaves its nearest integer in the low bits of the mantissa.
const ROUNDER: f32 = 12_582_912.0;

/// Vectors as arrays.
pub(super) struct PortableLanes;

impl Lanes for PortableLanes {
    type Vector = [f32; LANES];
    const LANES: usize = LANES;

    #[inline(always)]
    unsafe fn splat(value: f32) -> [f32; LANES] {
        [value; LANES]
    }

    #[inline(always)]
    unsafe fn load(source: *const f32) -> [f32; LANES] {
        // SAFETY: the caller has a vector at `source`.
        unsafe { source.cast::<[f32; LANES]>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn store(target: *mut f32, value: [f32; LANES]) {
        // SAFETY: the caller has room for a vector at `target`.
        unsafe { target.cast::<[f32; LANES]>().write_unaligned(value) }
    }

    #[inline(always)]
    unsafe fn add(left: [f32; LANES], right: [f32; LANES]) -> [f32; LANES] {
        from_fn(|lane| left[lane] + right[lane])
    }

    #[inline(always)]
    unsafe fn subtract(left: [f32; LANES], right: [f32; LANES]) -> [f32; LANES] {
        from_fn(|lane| left[lane] - right[lane])
    }

    #[inline(always)]
    unsafe fn multiply(left: [f32; LANES], right: [f32; LANES]) -> [f32; LANES] {
        from_fn(|lane| left[lane] * right[lane])
    }

    #[inline(always)]
    unsafe fn multiply_add(
        left: [f32; LANES],
        right: [f32; LANES],
        sum: [f32; LANES],
    ) -> [f32; LANES] {
        // Fused where the target's baseline has the instruction: elsewhere it would be a library call.
        if cfg!(any(target_arch = "aarch64", target_feature = "fma")) {
            from_fn(|lane| left[lane].mul_add(right[lane], sum[lane]))
        } else {
            from_fn(|lane| left[lane] * right[lane] + sum[lane])
        }
    }

    #[inline(always)]
    unsafe fn maximum(left: [f32; LANES], right: [f32; LANES]) -> [f32; LANES] {
        from_fn(|lane| if left[lane] > right[lane] { left[lane] } else { right[lane] })
    }

    #[inline(always)]
    unsafe fn horizontal_sum(vector: [f32; LANES]) -> f32 {
        (vector[0] + vector[2]) + (vector[1] + vector[3])
    }

    #[inline(always)]
    unsafe fn horizontal_maximum(vector: [f32; LANES]) -> f32 {
        vector.into_iter().fold(f32::NEG_INFINITY, f32::max)
    }

    #[inline(always)]
    unsafe fn exponential(x: [f32; LANES]) -> [f32; LANES] {
        from_fn(|lane| {
            let vanishes = x[lane] < SUBNORMAL;
            let x = if vanishes { SUBNORMAL } else { x[lane] };
            let rounded = x * LOG2_E + ROUNDER;
            let exponent = rounded - ROUNDER;
            let r = (x - exponent * HIGH_LN_2) - exponent * LOW_LN_2;
            let tail = POLYNOMIAL[1..].iter().fold(POLYNOMIAL[0], |sum, next| sum * r + next);
            let power = (r * r * tail + r) + 1.0;
            let biased = rounded.to_bits().wrapping_sub(ROUNDER.to_bits()).wrapping_add(127);
            let value = power * f32::from_bits(biased << 23);
            if vanishes { 0.0 } else { value }
        })
    }

    #[inline(always)]
    unsafe fn widen_halves(source: *const u16, count: usize, target: *mut f32) {
        for index in 0..count {
            // SAFETY: the caller has `count` halves and room for as many floats.
            unsafe { *target.add(index) = f16_to_f32(*source.add(index)) }
        }
    }

    #[inline(always)]
    unsafe fn transpose(
        source: *const u32,
        source_stride: usize,
        count: usize,
        target: *mut u32,
        target_stride: usize,
    ) {
        for index in 0..count {
            for row in 0..LANES {
                // SAFETY: the caller has `LANES` rows of `count` words and room for them.
                unsafe {
                    *target.add(index * target_stride + row) =
                        *source.add(row * source_stride + index);
                }
            }
        }
    }
}

/// Products in `f32` without special instructions.
pub(super) struct Portable;

impl Arithmetic for Portable {
    type Simd = PortableLanes;
    const PAIR: usize = 1;
    const ROWS: usize = 6;
    const KEY_BLOCK: usize = 256;
    const LOGIT_UNIT: f32 = 1.0;

    #[inline(always)]
    unsafe fn power(x: Vector<Self>) -> Vector<Self> {
        // SAFETY: the caller's promise.
        unsafe { Self::Simd::exponential(x) }
    }

    #[inline(always)]
    unsafe fn splat_word(word: *const u32) -> Vector<Self> {
        // SAFETY: the caller has the word.
        [f32::from_bits(unsafe { *word }); LANES]
    }

    #[inline(always)]
    unsafe fn accumulate_product(
        left: Vector<Self>,
        right: Vector<Self>,
        sum: Vector<Self>,
    ) -> Vector<Self> {
        // SAFETY: the caller's promise.
        unsafe { Self::Simd::multiply_add(left, right, sum) }
    }

    #[inline(always)]
    unsafe fn store_probabilities(
        row: *mut u32,
        key: usize,
        first: Vector<Self>,
        second: Vector<Self>,
    ) {
        // SAFETY: the caller has a row with these keys.
        unsafe {
            Self::Simd::store(row.add(key).cast(), first);
            Self::Simd::store(row.add(key + LANES).cast(), second);
        }
    }

    entry_points! { set: Portable, rows: [1 2 3 4 5 6] }
}
