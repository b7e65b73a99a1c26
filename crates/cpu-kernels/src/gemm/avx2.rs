//! Products with AVX2 and FMA: 6 × 16 tiles, in twelve of sixteen registers.

use super::epilogue::{Activation, finish};
use super::kernel::{Kernel, WIDEST_PANEL};
use super::number::{Brain, Half, Number, Single};
use core::arch::x86_64::*;
use std::marker::PhantomData;

const ROWS: usize = 6;
const COLUMNS: usize = 16;
/// `f32` lanes of a register.
const LANES: usize = 8;

/// Sums by `f32` fused multiply-add, of operands of any format.
#[derive(Clone, Copy)]
pub(crate) struct Avx2<N>(PhantomData<N>);

/// How a format is read into lanes of `f32`.
pub(crate) trait Lanes: Number {
    /// Eight elements as `f32`.
    ///
    /// # Safety
    /// The machine has AVX2 and F16C; eight elements are readable.
    unsafe fn load(elements: *const Self::Element) -> __m256;
}

impl Lanes for Single {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn load(elements: *const f32) -> __m256 {
        // SAFETY: the caller's promise.
        unsafe { _mm256_loadu_ps(elements) }
    }
}

impl Lanes for Brain {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn load(elements: *const u16) -> __m256 {
        // SAFETY: the caller's promise.
        let bits = unsafe { _mm_loadu_si128(elements.cast()) };
        _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(bits)))
    }
}

impl Lanes for Half {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn load(elements: *const u16) -> __m256 {
        // SAFETY: the caller's promise.
        _mm256_cvtph_ps(unsafe { _mm_loadu_si128(elements.cast()) })
    }
}

impl<N: Lanes> Kernel for Avx2<N> {
    type Number = N;
    type Packed = f32;
    const PER_STEP: usize = 1;
    const ROWS: usize = ROWS;
    const COLUMNS: usize = COLUMNS;
    const DEPTH: usize = 256;
    const BLOCK_ROWS: usize = 144;

    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn pack_left(rows: &[*const N::Element; WIDEST_PANEL], count: usize, panel: *mut f32) {
        let whole = count / LANES * LANES;
        for step in (0..whole).step_by(LANES) {
            // SAFETY: the rows have `count` elements, the panel as many steps of six values.
            unsafe {
                let mut block = [_mm256_setzero_ps(); LANES];
                for (block, row) in block[..ROWS].iter_mut().zip(rows) {
                    *block = N::load(row.add(step));
                }
                for (within, values) in transpose(block).into_iter().enumerate() {
                    let place = panel.add((step + within) * ROWS);
                    _mm_storeu_ps(place, _mm256_castps256_ps128(values));
                    let high = _mm_castps_pd(_mm256_extractf128_ps::<1>(values));
                    _mm_storel_pd(place.add(4).cast(), high);
                }
            }
        }
        // SAFETY: as above.
        unsafe { pack_rest::<N, ROWS>(rows, whole, count, panel) }
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn pack_right(rows: &[*const N::Element; WIDEST_PANEL], count: usize, panel: *mut f32) {
        let whole = count / LANES * LANES;
        for half in 0..2 {
            for step in (0..whole).step_by(LANES) {
                // SAFETY: the rows have `count` elements, the panel as many steps of 16 values.
                unsafe {
                    let mut block = [_mm256_setzero_ps(); LANES];
                    for (block, row) in block.iter_mut().zip(&rows[half * LANES..]) {
                        *block = N::load(row.add(step));
                    }
                    for (within, values) in transpose(block).into_iter().enumerate() {
                        let place = (step + within) * COLUMNS + half * LANES;
                        _mm256_storeu_ps(panel.add(place), values);
                    }
                }
            }
        }
        // SAFETY: as above.
        unsafe { pack_rest::<N, COLUMNS>(rows, whole, count, panel) }
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn tile(
        steps: usize,
        left: *const f32,
        right: *const f32,
        sums: *mut f32,
        accumulate: bool,
    ) {
        // SAFETY: the caller promises panels of `steps` steps and a whole tile of sums.
        unsafe {
            let (mut left, mut right) = (left, right);
            let mut tile = [[_mm256_setzero_ps(); 2]; ROWS];
            for _ in 0..steps {
                let (low, high) = (_mm256_loadu_ps(right), _mm256_loadu_ps(right.add(LANES)));
                for (row, tile) in tile.iter_mut().enumerate() {
                    let value = _mm256_set1_ps(*left.add(row));
                    tile[0] = _mm256_fmadd_ps(value, low, tile[0]);
                    tile[1] = _mm256_fmadd_ps(value, high, tile[1]);
                }
                left = left.add(ROWS);
                right = right.add(COLUMNS);
            }
            for (row, halves) in tile.into_iter().enumerate() {
                for (half, mut value) in halves.into_iter().enumerate() {
                    let place = sums.add(row * COLUMNS + half * LANES);
                    if accumulate {
                        value = _mm256_add_ps(_mm256_loadu_ps(place), value);
                    }
                    _mm256_storeu_ps(place, value);
                }
            }
        }
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn finish(
        activation: Activation,
        sums: *const f32,
        bias: *const f32,
        rows: usize,
        columns: usize,
        output: *mut N::Element,
        output_stride: usize,
    ) {
        // SAFETY: the caller's promise is passed on as it is.
        unsafe {
            finish::<N, COLUMNS>(activation, sums, bias, rows, columns, output, output_stride)
        }
    }
}

/// Packs elements `first..count` of `WIDTH` rows one by one.
///
/// # Safety
/// As [`Kernel::pack_left`].
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn pack_rest<N: Number, const WIDTH: usize>(
    rows: &[*const N::Element; WIDEST_PANEL],
    first: usize,
    count: usize,
    panel: *mut f32,
) {
    for step in first..count {
        for (place, row) in rows[..WIDTH].iter().enumerate() {
            // SAFETY: the row has `count` elements, the panel `WIDTH` × `count` values.
            unsafe { *panel.add(step * WIDTH + place) = N::widen(*row.add(step)) };
        }
    }
}

/// The transpose of 8 rows of 8 lanes.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn transpose(rows: [__m256; LANES]) -> [__m256; LANES] {
    // Within each 128-bit half: afterwards half h of quads[4 q + c] holds column 4 h + c of rows
    // 4 q to 4 q + 3.
    let mut quads = rows;
    for q in 0..LANES / 4 {
        let [a, b, c, d] = [rows[4 * q], rows[4 * q + 1], rows[4 * q + 2], rows[4 * q + 3]];
        let (ab_low, ab_high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
        let (cd_low, cd_high) = (_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
        const LOW: i32 = 0b01_00_01_00;
        const HIGH: i32 = 0b11_10_11_10;
        quads[4 * q] = _mm256_shuffle_ps::<LOW>(ab_low, cd_low);
        quads[4 * q + 1] = _mm256_shuffle_ps::<HIGH>(ab_low, cd_low);
        quads[4 * q + 2] = _mm256_shuffle_ps::<LOW>(ab_high, cd_high);
        quads[4 * q + 3] = _mm256_shuffle_ps::<HIGH>(ab_high, cd_high);
    }
    let mut columns = quads;
    for c in 0..4 {
        columns[c] = _mm256_permute2f128_ps::<0x20>(quads[c], quads[4 + c]);
        columns[4 + c] = _mm256_permute2f128_ps::<0x31>(quads[c], quads[4 + c]);
    }
    columns
}
