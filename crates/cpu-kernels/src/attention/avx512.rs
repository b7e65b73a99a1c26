//! AVX-512: vectors of 16 `f32`, and products in `f32`.

use super::arithmetic::{Arithmetic, Lanes, Vector, entry_points};
use super::exponential::{HIGH_LN_2, LOW_LN_2, POLYNOMIAL};
use std::arch::x86_64::*;
use std::f32::consts::LOG2_E;

/// Below this e^x rounds to 0, subnormals included.
const NEGLIGIBLE: f32 = -110.0;

/// Vectors of AVX-512.
pub(super) struct Avx512Lanes;

impl Lanes for Avx512Lanes {
    type Vector = __m512;
    const LANES: usize = 16;

    #[inline(always)]
    unsafe fn splat(value: f32) -> __m512 {
        // SAFETY: the caller has AVX-512.
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn load(source: *const f32) -> __m512 {
        // SAFETY: the caller has AVX-512 and a vector at `source`.
        unsafe { _mm512_loadu_ps(source) }
    }

    #[inline(always)]
    unsafe fn store(target: *mut f32, value: __m512) {
        // SAFETY: the caller has AVX-512 and room for a vector at `target`.
        unsafe { _mm512_storeu_ps(target, value) }
    }

    #[inline(always)]
    unsafe fn add(left: __m512, right: __m512) -> __m512 {
        // SAFETY: the caller has AVX-512.
        unsafe { _mm512_add_ps(left, right) }
    }

    #[inline(always)]
    unsafe fn subtract(left: __m512, right: __m512) -> __m512 {
        // SAFETY: the caller has AVX-512.
        unsafe { _mm512_sub_ps(left, right) }
    }

    #[inline(always)]
    unsafe fn multiply(left: __m512, right: __m512) -> __m512 {
        // SAFETY: the caller has AVX-512.
        unsafe { _mm512_mul_ps(left, right) }
    }

    #[inline(always)]
    unsafe fn multiply_add(left: __m512, right: __m512, sum: __m512) -> __m512 {
        // SAFETY: the caller has AVX-512.
        unsafe { _mm512_fmadd_ps(left, right, sum) }
    }

    #[inline(always)]
    unsafe fn maximum(left: __m512, right: __m512) -> __m512 {
        // SAFETY: the caller has AVX-512.
        unsafe { _mm512_max_ps(left, right) }
    }

    #[inline(always)]
    unsafe fn horizontal_sum(vector: __m512) -> f32 {
        // SAFETY: the caller has AVX-512.
        unsafe { _mm512_reduce_add_ps(vector) }
    }

    #[inline(always)]
    unsafe fn horizontal_maximum(vector: __m512) -> f32 {
        // SAFETY: the caller has AVX-512.
        unsafe { _mm512_reduce_max_ps(vector) }
    }

    #[inline(always)]
    unsafe fn exponential(x: __m512) -> __m512 {
        // SAFETY: the caller has AVX-512.
        unsafe {
            // The second operand of a maximum with NaN is the result.
            let x = _mm512_max_ps(_mm512_set1_ps(NEGLIGIBLE), x);
            let exponent = _mm512_mul_ps(x, _mm512_set1_ps(LOG2_E));
            let exponent = _mm512_roundscale_ps::<0>(exponent);
            let r = _mm512_fnmadd_ps(exponent, _mm512_set1_ps(HIGH_LN_2), x);
            let r = _mm512_fnmadd_ps(exponent, _mm512_set1_ps(LOW_LN_2), r);
            let mut tail = _mm512_set1_ps(POLYNOMIAL[0]);
            for coefficient in &POLYNOMIAL[1..] {
                tail = _mm512_fmadd_ps(tail, r, _mm512_set1_ps(*coefficient));
            }
            let power = _mm512_fmadd_ps(_mm512_mul_ps(r, r), tail, r);
            _mm512_scalef_ps(_mm512_add_ps(power, _mm512_set1_ps(1.0)), exponent)
        }
    }

    #[inline(always)]
    unsafe fn widen_halves(source: *const u16, count: usize, target: *mut f32) {
        // SAFETY: the caller has AVX-512, `count` halves and room for as many floats; the masks
        // leave out what lies beyond.
        unsafe {
            for start in (0..count).step_by(16) {
                let left = (count - start).min(16);
                let mask = ((1u32 << left) - 1) as u16;
                let halves = _mm256_maskz_loadu_epi16(mask, source.add(start).cast());
                _mm512_mask_storeu_ps(target.add(start), mask, _mm512_cvtph_ps(halves));
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
        // SAFETY: the caller has AVX-512, whole vectors in 16 rows, and room for `count` vectors.
        unsafe {
            for start in (0..count).step_by(16) {
                let mut rows = [_mm512_setzero_ps(); 16];
                for (index, row) in rows.iter_mut().enumerate() {
                    *row = _mm512_loadu_ps(source.add(index * source_stride + start).cast());
                }
                let columns = transpose_16(rows);
                for (index, column) in columns.iter().take(count - start).enumerate() {
                    _mm512_storeu_ps(target.add((start + index) * target_stride).cast(), *column);
                }
            }
        }
    }
}

/// Transposes a square of 16 rows: pairs, then fours within 128 bits, then the quarters themselves.
///
/// # Safety
/// AVX-512.
#[inline(always)]
unsafe fn transpose_16(rows: [__m512; 16]) -> [__m512; 16] {
    // SAFETY: the caller has AVX-512.
    unsafe {
        let mut fours = [_mm512_setzero_ps(); 16];
        for group in (0..16).step_by(4) {
            let [a, b, c, d] = [rows[group], rows[group + 1], rows[group + 2], rows[group + 3]];
            let low_ab = _mm512_castps_pd(_mm512_unpacklo_ps(a, b));
            let high_ab = _mm512_castps_pd(_mm512_unpackhi_ps(a, b));
            let low_cd = _mm512_castps_pd(_mm512_unpacklo_ps(c, d));
            let high_cd = _mm512_castps_pd(_mm512_unpackhi_ps(c, d));
            fours[group] = _mm512_castpd_ps(_mm512_unpacklo_pd(low_ab, low_cd));
            fours[group + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low_ab, low_cd));
            fours[group + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(high_ab, high_cd));
            fours[group + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(high_ab, high_cd));
        }
        // Quarter `q` of `fours[4 g + c]` now holds column `4 q + c` of rows `4 g` to `4 g + 3`.
        let mut columns = [_mm512_setzero_ps(); 16];
        for c in 0..4 {
            let front_01 = _mm512_shuffle_f32x4::<0x44>(fours[c], fours[4 + c]);
            let back_01 = _mm512_shuffle_f32x4::<0xee>(fours[c], fours[4 + c]);
            let front_23 = _mm512_shuffle_f32x4::<0x44>(fours[8 + c], fours[12 + c]);
            let back_23 = _mm512_shuffle_f32x4::<0xee>(fours[8 + c], fours[12 + c]);
            columns[c] = _mm512_shuffle_f32x4::<0x88>(front_01, front_23);
            columns[4 + c] = _mm512_shuffle_f32x4::<0xdd>(front_01, front_23);
            columns[8 + c] = _mm512_shuffle_f32x4::<0x88>(back_01, back_23);
            columns[12 + c] = _mm512_shuffle_f32x4::<0xdd>(back_01, back_23);
        }
        columns
    }
}

/// Products in `f32` with AVX-512.
pub(super) struct Avx512;

impl Arithmetic for Avx512 {
    type Simd = Avx512Lanes;
    const PAIR: usize = 1;
    const ROWS: usize = 14;
    const KEY_BLOCK: usize = 256;
    const LOGIT_UNIT: f32 = 1.0;

    #[inline(always)]
    unsafe fn power(x: Vector<Self>) -> Vector<Self> {
        // SAFETY: the caller's promise.
        unsafe { Self::Simd::exponential(x) }
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
        // SAFETY: the caller has AVX-512.
        unsafe { _mm512_fmadd_ps(left, right, sum) }
    }

    #[inline(always)]
    unsafe fn store_probabilities(
        row: *mut u32,
        key: usize,
        first: Vector<Self>,
        second: Vector<Self>,
    ) {
        // SAFETY: the caller has AVX-512 and a row with these keys.
        unsafe {
            _mm512_storeu_ps(row.add(key).cast(), first);
            _mm512_storeu_ps(row.add(key + 16).cast(), second);
        }
    }

    entry_points! {
        #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma,f16c")]
        set: Avx512, rows: [1 2 3 4 5 6 7 8 9 10 11 12 13 14]
    }
}
