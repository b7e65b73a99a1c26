//! AVX2 with FMA and F16C: vectors of 8 `f32`, and products in `f32`.

use super::arithmetic::{Arithmetic, Lanes, Vector, entry_points};
use super::exponential::{HIGH_LN_2, LOW_LN_2, POLYNOMIAL, SUBNORMAL};
use crate::float::f16_to_f32;
use std::arch::x86_64::*;
use std::f32::consts::LOG2_E;

/// Vectors of AVX2.
pub(super) struct Avx2Lanes;

impl Lanes for Avx2Lanes {
    type Vector = __m256;
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn splat(value: f32) -> __m256 {
        // SAFETY: the caller has AVX2.
        unsafe { _mm256_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn load(source: *const f32) -> __m256 {
        // SAFETY: the caller has AVX2 and a vector at `source`.
        unsafe { _mm256_loadu_ps(source) }
    }

    #[inline(always)]
    unsafe fn store(target: *mut f32, value: __m256) {
        // SAFETY: the caller has AVX2 and room for a vector at `target`.
        unsafe { _mm256_storeu_ps(target, value) }
    }

    #[inline(always)]
    unsafe fn add(left: __m256, right: __m256) -> __m256 {
        // SAFETY: the caller has AVX2.
        unsafe { _mm256_add_ps(left, right) }
    }

    #[inline(always)]
    unsafe fn subtract(left: __m256, right: __m256) -> __m256 {
        // SAFETY: the caller has AVX2.
        unsafe { _mm256_sub_ps(left, right) }
    }

    #[inline(always)]
    unsafe fn multiply(left: __m256, right: __m256) -> __m256 {
        // SAFETY: the caller has AVX2.
        unsafe { _mm256_mul_ps(left, right) }
    }

    #[inline(always)]
    unsafe fn multiply_add(left: __m256, right: __m256, sum: __m256) -> __m256 {
        // SAFETY: the caller has FMA.
        unsafe { _mm256_fmadd_ps(left, right, sum) }
    }

    #[inline(always)]
    unsafe fn maximum(left: __m256, right: __m256) -> __m256 {
        // SAFETY: the caller has AVX2.
        unsafe { _mm256_max_ps(left, right) }
    }

    #[inline(always)]
    unsafe fn horizontal_sum(vector: __m256) -> f32 {
        // SAFETY: the caller has AVX2.
        unsafe {
            let four =
                _mm_add_ps(_mm256_castps256_ps128(vector), _mm256_extractf128_ps::<1>(vector));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
        }
    }

    #[inline(always)]
    unsafe fn horizontal_maximum(vector: __m256) -> f32 {
        // SAFETY: the caller has AVX2.
        unsafe {
            let four =
                _mm_max_ps(_mm256_castps256_ps128(vector), _mm256_extractf128_ps::<1>(vector));
            let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps::<1>(two, two)))
        }
    }

    #[inline(always)]
    unsafe fn exponential(x: __m256) -> __m256 {
        // SAFETY: the caller has AVX2 and FMA.
        unsafe {
            let limit = _mm256_set1_ps(SUBNORMAL);
            let vanishes = _mm256_cmp_ps::<_CMP_LT_OQ>(x, limit);
            // The second operand of a maximum with NaN is the result.
            let x = _mm256_max_ps(limit, x);
            let exponent = _mm256_mul_ps(x, _mm256_set1_ps(LOG2_E));
            let exponent =
                _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(exponent);
            let r = _mm256_fnmadd_ps(exponent, _mm256_set1_ps(HIGH_LN_2), x);
            let r = _mm256_fnmadd_ps(exponent, _mm256_set1_ps(LOW_LN_2), r);
            let mut tail = _mm256_set1_ps(POLYNOMIAL[0]);
            for coefficient in &POLYNOMIAL[1..] {
                tail = _mm256_fmadd_ps(tail, r, _mm256_set1_ps(*coefficient));
            }
            let power = _mm256_fmadd_ps(_mm256_mul_ps(r, r), tail, r);
            let power = _mm256_add_ps(power, _mm256_set1_ps(1.0));
            let biased = _mm256_add_epi32(_mm256_cvtps_epi32(exponent), _mm256_set1_epi32(127));
            let scale = _mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased));
            _mm256_andnot_ps(vanishes, _mm256_mul_ps(power, scale))
        }
    }

    #[inline(always)]
    unsafe fn widen_halves(source: *const u16, count: usize, target: *mut f32) {
        // SAFETY: the caller has F16C, `count` halves and room for as many floats.
        unsafe {
            let whole = count - count % 8;
            for start in (0..whole).step_by(8) {
                let halves = _mm_loadu_si128(source.add(start).cast());
                _mm256_storeu_ps(target.add(start), _mm256_cvtph_ps(halves));
            }
            for index in whole..count {
                *target.add(index) = f16_to_f32(*source.add(index));
            }
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
        // SAFETY: the caller has AVX2, whole vectors in 8 rows, and room for `count` vectors.
        unsafe {
            for start in (0..count).step_by(8) {
                let mut rows = [_mm256_setzero_ps(); 8];
                for (index, row) in rows.iter_mut().enumerate() {
                    *row = _mm256_loadu_ps(source.add(index * source_stride + start).cast());
                }
                let columns = transpose_8(rows);
                for (index, column) in columns.iter().take(count - start).enumerate() {
                    _mm256_storeu_ps(target.add((start + index) * target_stride).cast(), *column);
                }
            }
        }
    }
}

/// Transposes a square of 8 rows: pairs, then fours within 128 bits, then the halves themselves.
///
/// # Safety
/// AVX2.
#[inline(always)]
unsafe fn transpose_8(rows: [__m256; 8]) -> [__m256; 8] {
    // SAFETY: the caller has AVX2.
    unsafe {
        let mut fours = [_mm256_setzero_ps(); 8];
        for group in (0..8).step_by(4) {
            let [a, b, c, d] = [rows[group], rows[group + 1], rows[group + 2], rows[group + 3]];
            let low_ab = _mm256_castps_pd(_mm256_unpacklo_ps(a, b));
            let high_ab = _mm256_castps_pd(_mm256_unpackhi_ps(a, b));
            let low_cd = _mm256_castps_pd(_mm256_unpacklo_ps(c, d));
            let high_cd = _mm256_castps_pd(_mm256_unpackhi_ps(c, d));
            fours[group] = _mm256_castpd_ps(_mm256_unpacklo_pd(low_ab, low_cd));
            fours[group + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(low_ab, low_cd));
            fours[group + 2] = _mm256_castpd_ps(_mm256_unpacklo_pd(high_ab, high_cd));
            fours[group + 3] = _mm256_castpd_ps(_mm256_unpackhi_pd(high_ab, high_cd));
        }
        // Half `h` of `fours[4 g + c]` now holds column `4 h + c` of rows `4 g` to `4 g + 3`.
        let mut columns = [_mm256_setzero_ps(); 8];
        for c in 0..4 {
            columns[c] = _mm256_permute2f128_ps::<0x20>(fours[c], fours[4 + c]);
            columns[4 + c] = _mm256_permute2f128_ps::<0x31>(fours[c], fours[4 + c]);
        }
        columns
    }
}

/// Products in `f32` with AVX2.
pub(super) struct Avx2;

impl Arithmetic for Avx2 {
    type Simd = Avx2Lanes;
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
        // SAFETY: the caller has AVX2 and the word.
        unsafe { _mm256_set1_ps(*word.cast::<f32>()) }
    }

    #[inline(always)]
    unsafe fn accumulate_product(
        left: Vector<Self>,
        right: Vector<Self>,
        sum: Vector<Self>,
    ) -> Vector<Self> {
        // SAFETY: the caller has FMA.
        unsafe { _mm256_fmadd_ps(left, right, sum) }
    }

    #[inline(always)]
    unsafe fn store_probabilities(
        row: *mut u32,
        key: usize,
        first: Vector<Self>,
        second: Vector<Self>,
    ) {
        // SAFETY: the caller has AVX2 and a row with these keys.
        unsafe {
            _mm256_storeu_ps(row.add(key).cast(), first);
            _mm256_storeu_ps(row.add(key + 8).cast(), second);
        }
    }

    entry_points! {
        #[target_feature(enable = "avx2,fma,f16c")]
        set: Avx2, rows: [1 2 3 4 5 6]
    }
}
