//! Products with AVX-512: 14 × 32 tiles, in twenty-eight of thirty-two registers.

use super::epilogue::{Activation, finish};
use super::kernel::{Kernel, WIDEST_PANEL};
use super::number::{Brain, Half, Number, Single};
use core::arch::x86_64::*;
use std::marker::PhantomData;

const ROWS: usize = 14;
const COLUMNS: usize = 32;
/// 32-bit lanes of a register.
const LANES: usize = 16;

/// Sums by `f32` fused multiply-add, of operands of any format.
#[derive(Clone, Copy)]
pub(crate) struct Avx512<N>(PhantomData<N>);

/// Sums of bfloat16 operands by `vdpbf16ps`, two neighbours along K in a lane.
#[derive(Clone, Copy)]
pub(crate) struct Avx512Bf16;

/// How a format is read into lanes of `f32`.
pub(crate) trait Lanes: Number {
    /// The first `count` (at most 16) elements as `f32`, zeros behind them.
    ///
    /// # Safety
    /// The machine has AVX-512 F, VL, BW and DQ; `count` elements are readable.
    unsafe fn load(elements: *const Self::Element, count: usize) -> __m512i;
}

impl Lanes for Single {
    #[inline]
    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq")]
    unsafe fn load(elements: *const f32, count: usize) -> __m512i {
        // SAFETY: lanes beyond `count` are masked out.
        unsafe { _mm512_maskz_loadu_epi32(first_lanes(count) as __mmask16, elements.cast()) }
    }
}

impl Lanes for Brain {
    #[inline]
    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq")]
    unsafe fn load(elements: *const u16, count: usize) -> __m512i {
        // SAFETY: lanes beyond `count` are masked out.
        let bits =
            unsafe { _mm256_maskz_loadu_epi16(first_lanes(count) as __mmask16, elements.cast()) };
        _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(bits))
    }
}

impl Lanes for Half {
    #[inline]
    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq")]
    unsafe fn load(elements: *const u16, count: usize) -> __m512i {
        // SAFETY: lanes beyond `count` are masked out.
        let bits =
            unsafe { _mm256_maskz_loadu_epi16(first_lanes(count) as __mmask16, elements.cast()) };
        _mm512_castps_si512(_mm512_cvtph_ps(bits))
    }
}

/// A mask of the first `count` lanes, at most 32.
#[inline(always)]
fn first_lanes(count: usize) -> u32 {
    ((1u64 << count) - 1) as u32
}

impl<N: Lanes> Kernel for Avx512<N> {
    type Number = N;
    type Packed = f32;
    const PER_STEP: usize = 1;
    const ROWS: usize = ROWS;
    const COLUMNS: usize = COLUMNS;
    const DEPTH: usize = 256;
    const BLOCK_ROWS: usize = 168;

    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq")]
    unsafe fn pack_left(rows: &[*const N::Element; WIDEST_PANEL], count: usize, panel: *mut f32) {
        let mut step = 0;
        while step < count {
            let steps = (count - step).min(LANES);
            // SAFETY: the rows have `count` elements, the panel as many steps.
            unsafe {
                let mut block = [_mm512_setzero_si512(); LANES];
                for (block, row) in block[..ROWS].iter_mut().zip(rows) {
                    *block = N::load(row.add(step), steps);
                }
                store_left(block, steps, panel.add(step * ROWS).cast());
            }
            step += steps;
        }
    }

    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq")]
    unsafe fn pack_right(rows: &[*const N::Element; WIDEST_PANEL], count: usize, panel: *mut f32) {
        for half in 0..2 {
            let mut step = 0;
            while step < count {
                let steps = (count - step).min(LANES);
                // SAFETY: the rows have `count` elements, the panel as many steps.
                unsafe {
                    let mut block = [_mm512_setzero_si512(); LANES];
                    for (block, row) in block.iter_mut().zip(&rows[half * LANES..]) {
                        *block = N::load(row.add(step), steps);
                    }
                    let panel = panel.add(step * COLUMNS + half * LANES);
                    store_right(block, steps, panel.cast());
                }
                step += steps;
            }
        }
    }

    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq")]
    unsafe fn tile(
        steps: usize,
        left: *const f32,
        right: *const f32,
        sums: *mut f32,
        accumulate: bool,
    ) {
        // SAFETY: the caller promises panels of `steps` steps and a whole tile of sums.
        unsafe {
            prefetch_tile(sums);
            let (mut left, mut right) = (left, right);
            let mut tile = [[_mm512_setzero_ps(); 2]; ROWS];
            for _ in 0..steps {
                let (low, high) = (_mm512_loadu_ps(right), _mm512_loadu_ps(right.add(LANES)));
                for (row, tile) in tile.iter_mut().enumerate() {
                    let value = _mm512_set1_ps(*left.add(row));
                    tile[0] = _mm512_fmadd_ps(value, low, tile[0]);
                    tile[1] = _mm512_fmadd_ps(value, high, tile[1]);
                }
                left = left.add(ROWS);
                right = right.add(COLUMNS);
            }
            store_tile(tile, sums, accumulate);
        }
    }

    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq")]
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

impl Kernel for Avx512Bf16 {
    type Number = Brain;
    /// Two neighbours along K, the first in the low half.
    type Packed = u32;
    const PER_STEP: usize = 2;
    const ROWS: usize = ROWS;
    const COLUMNS: usize = COLUMNS;
    const DEPTH: usize = 256;
    const BLOCK_ROWS: usize = 168;

    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq")]
    unsafe fn pack_left(rows: &[*const u16; WIDEST_PANEL], count: usize, panel: *mut u32) {
        let mut element = 0;
        while element < count {
            let elements = (count - element).min(2 * LANES);
            // SAFETY: the rows have `count` elements, the panel half as many steps, rounded up.
            unsafe {
                let mut block = [_mm512_setzero_si512(); LANES];
                for (block, row) in block[..ROWS].iter_mut().zip(rows) {
                    *block = load_pairs(row.add(element), elements);
                }
                store_left(block, elements.div_ceil(2), panel.add(element / 2 * ROWS));
            }
            element += elements;
        }
    }

    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq")]
    unsafe fn pack_right(rows: &[*const u16; WIDEST_PANEL], count: usize, panel: *mut u32) {
        for half in 0..2 {
            let mut element = 0;
            while element < count {
                let elements = (count - element).min(2 * LANES);
                // SAFETY: the rows have `count` elements, the panel half as many steps, rounded up.
                unsafe {
                    let mut block = [_mm512_setzero_si512(); LANES];
                    for (block, row) in block.iter_mut().zip(&rows[half * LANES..]) {
                        *block = load_pairs(row.add(element), elements);
                    }
                    let panel = panel.add(element / 2 * COLUMNS + half * LANES);
                    store_right(block, elements.div_ceil(2), panel);
                }
                element += elements;
            }
        }
    }

    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512bf16")]
    unsafe fn tile(
        steps: usize,
        left: *const u32,
        right: *const u32,
        sums: *mut f32,
        accumulate: bool,
    ) {
        // SAFETY: the caller promises panels of `steps` steps and a whole tile of sums; a register
        // of 32-bit lanes and one of bfloat16 pairs are the same bits.
        unsafe {
            prefetch_tile(sums);
            let (mut left, mut right) = (left, right);
            let mut tile = [[_mm512_setzero_ps(); 2]; ROWS];
            for _ in 0..steps {
                let low: __m512bh = std::mem::transmute(_mm512_loadu_ps(right.cast()));
                let high: __m512bh = std::mem::transmute(_mm512_loadu_ps(right.add(LANES).cast()));
                for (row, tile) in tile.iter_mut().enumerate() {
                    let value = _mm512_set1_ps(f32::from_bits(*left.add(row)));
                    let value: __m512bh = std::mem::transmute(value);
                    tile[0] = _mm512_dpbf16_ps(tile[0], value, low);
                    tile[1] = _mm512_dpbf16_ps(tile[1], value, high);
                }
                left = left.add(ROWS);
                right = right.add(COLUMNS);
            }
            store_tile(tile, sums, accumulate);
        }
    }

    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq")]
    unsafe fn finish(
        activation: Activation,
        sums: *const f32,
        bias: *const f32,
        rows: usize,
        columns: usize,
        output: *mut u16,
        output_stride: usize,
    ) {
        // SAFETY: the caller's promise is passed on as it is.
        unsafe {
            finish::<Brain, COLUMNS>(activation, sums, bias, rows, columns, output, output_stride)
        }
    }
}

/// The first `count` (at most 32) 16-bit elements, zeros behind them.
///
/// # Safety
/// `count` elements are readable.
#[inline]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq")]
unsafe fn load_pairs(elements: *const u16, count: usize) -> __m512i {
    // SAFETY: lanes beyond `count` are masked out.
    unsafe { _mm512_maskz_loadu_epi16(first_lanes(count), elements.cast()) }
}

/// Asks for the lines of a tile's sums, which are needed when the loop over K is done.
///
/// # Safety
/// `sums` is a whole tile.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn prefetch_tile(sums: *const f32) {
    for line in 0..ROWS * COLUMNS / LANES {
        // SAFETY: within the tile.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(sums.add(line * LANES).cast()) };
    }
}

/// Writes a tile, or adds it to what is there.
///
/// # Safety
/// `sums` is a whole tile.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn store_tile(tile: [[__m512; 2]; ROWS], sums: *mut f32, accumulate: bool) {
    for (row, halves) in tile.into_iter().enumerate() {
        for (half, mut value) in halves.into_iter().enumerate() {
            // SAFETY: within the tile.
            unsafe {
                let place = sums.add(row * COLUMNS + half * LANES);
                if accumulate {
                    value = _mm512_add_ps(_mm512_loadu_ps(place), value);
                }
                _mm512_storeu_ps(place, value);
            }
        }
    }
}

/// Stores the first `steps` columns of a block of 16 × 16, each as a step of a left panel.
///
/// # Safety
/// `panel` has room for `steps` steps.
#[inline]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq")]
unsafe fn store_left(block: [__m512i; LANES], steps: usize, panel: *mut u32) {
    let rows = first_lanes(ROWS) as __mmask16;
    for (step, values) in transpose(block).into_iter().enumerate().take(steps) {
        // SAFETY: lanes beyond the panel's rows are masked out.
        unsafe { _mm512_mask_storeu_epi32(panel.add(step * ROWS).cast(), rows, values) };
    }
}

/// Stores the first `steps` columns of a block of 16 × 16, each as half a step of a right panel.
///
/// # Safety
/// `panel` has room for `steps` steps.
#[inline]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq")]
unsafe fn store_right(block: [__m512i; LANES], steps: usize, panel: *mut u32) {
    for (step, values) in transpose(block).into_iter().enumerate().take(steps) {
        // SAFETY: within the panel.
        unsafe { _mm512_storeu_si512(panel.add(step * COLUMNS).cast(), values) };
    }
}

/// The transpose of 16 rows of 16 lanes.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose(rows: [__m512i; LANES]) -> [__m512i; LANES] {
    // Within each 128-bit part: first pairs of rows, then quadruples. Afterwards part p of
    // quads[4 q + c] holds column 4 p + c of rows 4 q to 4 q + 3.
    let mut quads = rows;
    for q in 0..LANES / 4 {
        let [a, b, c, d] = [rows[4 * q], rows[4 * q + 1], rows[4 * q + 2], rows[4 * q + 3]];
        let (ab_low, ab_high) = (_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
        let (cd_low, cd_high) = (_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
        quads[4 * q] = _mm512_unpacklo_epi64(ab_low, cd_low);
        quads[4 * q + 1] = _mm512_unpackhi_epi64(ab_low, cd_low);
        quads[4 * q + 2] = _mm512_unpacklo_epi64(ab_high, cd_high);
        quads[4 * q + 3] = _mm512_unpackhi_epi64(ab_high, cd_high);
    }
    // Then the parts: even ones (0, 2) and odd ones (1, 3) of two quads, and of those again.
    const EVEN: i32 = 0b10_00_10_00;
    const ODD: i32 = 0b11_01_11_01;
    let mut columns = quads;
    for c in 0..4 {
        let [p, q, r, s] = [quads[c], quads[4 + c], quads[8 + c], quads[12 + c]];
        let (even_low, even_high) =
            (_mm512_shuffle_i32x4::<EVEN>(p, q), _mm512_shuffle_i32x4::<EVEN>(r, s));
        let (odd_low, odd_high) =
            (_mm512_shuffle_i32x4::<ODD>(p, q), _mm512_shuffle_i32x4::<ODD>(r, s));
        columns[c] = _mm512_shuffle_i32x4::<EVEN>(even_low, even_high);
        columns[4 + c] = _mm512_shuffle_i32x4::<EVEN>(odd_low, odd_high);
        columns[8 + c] = _mm512_shuffle_i32x4::<ODD>(even_low, even_high);
        columns[12 + c] = _mm512_shuffle_i32x4::<ODD>(odd_low, odd_high);
    }
    columns
}
