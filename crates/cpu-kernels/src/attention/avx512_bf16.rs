//! `avx512_bf16`: products of bfloat16 pairs, summed in `f32`.

use super::arithmetic::{Arithmetic, Vector, entry_points};
use super::avx512::Avx512Lanes;
use std::arch::x86_64::*;

/// 2^r for |r| ≤ 1/2 as 1 + r · P(r), highest power first, to a relative 2.8e-6: far below the
/// rounding of a probability to bfloat16.
const BASE_2_POLYNOMIAL: [f32; 4] = [0.009_582_85, 0.055_906_42, 0.240_240_99, 0.693_124_2];

/// Products of bfloat16 pairs with `vdpbf16ps`. Probabilities are rounded to bfloat16, their sum is
/// of the unrounded ones.
pub(super) struct Avx512Bf16;

impl Arithmetic for Avx512Bf16 {
    type Simd = Avx512Lanes;
    const PAIR: usize = 2;
    const ROWS: usize = 14;
    const KEY_BLOCK: usize = 512;
    const LOGIT_UNIT: f32 = std::f32::consts::LOG2_E;

    #[inline(always)]
    unsafe fn power(x: Vector<Self>) -> Vector<Self> {
        // SAFETY: the caller has AVX-512.
        unsafe {
            let exponent = _mm512_roundscale_ps::<0>(x);
            // NaN where x is minus infinity, whatever follows: `scalef` then takes any first operand
            // to 0, NaN too.
            let r = _mm512_sub_ps(x, exponent);
            let mut power = _mm512_set1_ps(BASE_2_POLYNOMIAL[0]);
            for coefficient in &BASE_2_POLYNOMIAL[1..] {
                power = _mm512_fmadd_ps(power, r, _mm512_set1_ps(*coefficient));
            }
            let power = _mm512_fmadd_ps(power, r, _mm512_set1_ps(1.0));
            _mm512_scalef_ps(power, exponent)
        }
    }

    #[inline(always)]
    unsafe fn splat_word(word: *const u32) -> Vector<Self> {
        // SAFETY: the caller has AVX-512 and the word.
        unsafe { _mm512_set1_ps(*word.cast::<f32>()) }
    }

    #[inline(always)]
    unsafe fn accumulate_product(
        left: Vector<Self>,
        right: Vector<Self>,
        sum: Vector<Self>,
    ) -> Vector<Self> {
        // SAFETY: the caller has avx512_bf16; the vectors hold pairs of bfloat16, and any bits are
        // a value of both types.
        unsafe {
            let left = std::mem::transmute::<__m512, __m512bh>(left);
            let right = std::mem::transmute::<__m512, __m512bh>(right);
            _mm512_dpbf16_ps(sum, left, right)
        }
    }

    #[inline(always)]
    unsafe fn store_probabilities(
        row: *mut u32,
        key: usize,
        first: Vector<Self>,
        second: Vector<Self>,
    ) {
        // SAFETY: the caller has avx512_bf16 and a row with these keys; any bits are a value of
        // both types.
        unsafe {
            let packed = _mm512_cvtne2ps_pbh(second, first);
            let packed = std::mem::transmute::<__m512bh, __m512i>(packed);
            _mm512_storeu_si512(row.add(key / 2).cast(), packed);
        }
    }

    entry_points! {
        #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512bf16,avx2,fma,f16c")]
        set: Avx512Bf16, rows: [1 2 3 4 5 6 7 8 9 10 11 12 13 14]
    }
}
