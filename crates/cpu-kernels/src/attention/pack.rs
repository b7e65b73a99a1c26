//! Packing: rows of a tensor into the words and panels that the products read.
//!
//! A block of keys is cut into panels of two vectors of columns (one where a single vector holds the
//! rest), a panel's words of one step side by side. For the scores the columns are keys and a step is
//! a word of channels; for the output the columns are channels and a step is a word of keys. What
//! pads a panel is zero.

use super::MAX_HEAD_SIZE;
use super::arithmetic::{Arithmetic, Lanes, lanes};
use crate::DType;
use crate::float::{bf16_to_f32, f32_to_bf16, f32_to_f16};

/// The rows of one head of a (batch, sequence, heads, head size) tensor.
#[derive(Clone, Copy)]
pub(super) struct Rows {
    /// First element of the first row.
    pub data: *const u8,
    /// Element type.
    pub dtype: DType,
    /// Elements between rows.
    pub stride: usize,
}

impl Rows {
    /// The element at `column` of a row.
    ///
    /// # Safety
    /// The tensor has that element.
    #[inline(always)]
    unsafe fn at(self, row: usize, column: usize) -> *const u8 {
        // SAFETY: the caller's promise.
        unsafe { self.data.add((row * self.stride + column) * self.dtype.size()) }
    }
}

/// The keys or values of one head, in the order of the sequence: some that an earlier step left over,
/// then those of a tensor.
#[derive(Clone, Copy)]
pub(super) struct KeyRows {
    /// What is left over.
    pub left: Rows,
    /// How many those are.
    pub left_count: usize,
    /// What follows.
    pub rows: Rows,
}

impl KeyRows {
    /// The element at `column` of a row.
    ///
    /// # Safety
    /// The tensors have that element.
    #[inline(always)]
    unsafe fn at(self, row: usize, column: usize) -> *const u8 {
        // SAFETY: the caller's promise.
        unsafe {
            if row < self.left_count {
                self.left.at(row, column)
            } else {
                self.rows.at(row - self.left_count, column)
            }
        }
    }

    #[inline(always)]
    fn dtype(self) -> DType {
        self.rows.dtype
    }
}

/// A run of keys, counted from the first that a step has.
#[derive(Clone, Copy)]
pub(super) struct KeyBlock {
    /// The first key.
    pub first: usize,
    /// How many.
    pub count: usize,
}

/// The blocks that a sequence of keys is cut into. The cut starts at key 0 and its length is fixed,
/// because a row's sums are formed block by block.
pub(super) fn key_blocks<A: Arithmetic>(keys: usize) -> impl Iterator<Item = KeyBlock> {
    (0..keys)
        .step_by(A::KEY_BLOCK)
        .map(move |first| KeyBlock { first, count: A::KEY_BLOCK.min(keys - first) })
}

/// Words of `keys` packed keys; those of a block start at this many for the keys before it.
pub(super) fn packed_key_words<A: Arithmetic>(keys: usize, head_size: usize) -> usize {
    keys.next_multiple_of(lanes::<A>()) * head_size.div_ceil(A::PAIR)
}

/// Words of `keys` packed values; those of a block start at this many for the keys before it.
pub(super) fn packed_value_words<A: Arithmetic>(keys: usize, head_size: usize) -> usize {
    keys.div_ceil(A::PAIR) * head_size.next_multiple_of(lanes::<A>())
}

/// Copies `count` elements of a row to words, converting where the words are `f32`.
///
/// # Safety
/// The instruction set of `A`; `count` elements at `source`, their words at `target`.
#[inline(always)]
unsafe fn pack_row<A: Arithmetic>(source: *const u8, dtype: DType, count: usize, target: *mut u32) {
    // SAFETY: the caller's promise covers the elements and the words.
    unsafe {
        if A::PAIR == 2 {
            let pairs = count / 2;
            std::ptr::copy_nonoverlapping(source, target.cast::<u8>(), pairs * 4);
            if count % 2 == 1 {
                *target.add(pairs) = u32::from(*source.cast::<u16>().add(count - 1));
            }
            return;
        }
        match dtype {
            DType::Float32 => {
                std::ptr::copy_nonoverlapping(source, target.cast::<u8>(), count * 4);
            }
            DType::BFloat16 => {
                let source = std::slice::from_raw_parts(source.cast::<u16>(), count);
                for (index, bits) in source.iter().enumerate() {
                    *target.add(index) = bf16_to_f32(*bits).to_bits();
                }
            }
            DType::Float16 => A::Simd::widen_halves(source.cast(), count, target.cast()),
            DType::Int32 | DType::Int64 | DType::Int8 | DType::UInt8 => {
                unreachable!("checked on entry")
            }
        }
    }
}

/// Packs query rows side by side, [`Arithmetic::QUERY_STRIDE`] words apart.
///
/// # Safety
/// The instruction set of `A`; `rows` rows of `head_size` at `source`; room at `target`.
#[inline(always)]
pub(super) unsafe fn pack_query<A: Arithmetic>(
    source: Rows,
    rows: usize,
    head_size: usize,
    target: *mut u32,
) {
    for row in 0..rows {
        // SAFETY: the caller's promise.
        unsafe {
            let target = target.add(row * A::QUERY_STRIDE);
            pack_row::<A>(source.at(row, 0), source.dtype, head_size, target);
        }
    }
}

/// Words between the rows that wait for their transposition.
const STAGE_STRIDE: usize = MAX_HEAD_SIZE + 16;

/// The most rows transposed at once: lanes of the widest vector.
const STAGE_ROWS: usize = 16;

#[repr(C, align(64))]
struct Stage([u32; STAGE_ROWS * STAGE_STRIDE]);

/// Packs a block of keys for [`super::product::scores`].
///
/// # Safety
/// The instruction set of `A`; the block's rows of `head_size` in `source`; room for
/// [`packed_key_words`] of the block at `target`.
#[inline(always)]
pub(super) unsafe fn pack_keys<A: Arithmetic>(
    source: KeyRows,
    head_size: usize,
    block: KeyBlock,
    target: *mut u32,
) {
    let (lanes, depth) = (lanes::<A>(), head_size.div_ceil(A::PAIR));
    let mut stage = Stage([0; STAGE_ROWS * STAGE_STRIDE]);
    let stage = stage.0.as_mut_ptr();
    for key in (0..block.count).step_by(lanes) {
        let panel = key - key % (2 * lanes);
        let width = if block.count - panel > lanes { 2 * lanes } else { lanes };
        // SAFETY: the stage holds `lanes` rows of a head, which is no longer than its stride less a
        // vector; the panel starts `depth` words a key into the block.
        unsafe {
            for lane in 0..lanes {
                let row = stage.add(lane * STAGE_STRIDE);
                if key + lane < block.count {
                    let source_row = source.at(block.first + key + lane, 0);
                    pack_row::<A>(source_row, source.dtype(), head_size, row);
                } else {
                    row.write_bytes(0, depth);
                }
            }
            let target = target.add(panel * depth + key % (2 * lanes));
            A::Simd::transpose(stage, STAGE_STRIDE, depth, target, width);
        }
    }
}

/// Packs a block of values for [`super::product::accumulate`].
///
/// # Safety
/// The instruction set of `A`; the block's rows of `head_size` in `source`; room for
/// [`packed_value_words`] of the block at `target`.
#[inline(always)]
pub(super) unsafe fn pack_values<A: Arithmetic>(
    source: KeyRows,
    head_size: usize,
    block: KeyBlock,
    target: *mut u32,
) {
    let (lanes, depth) = (lanes::<A>(), block.count.div_ceil(A::PAIR));
    let columns = head_size.next_multiple_of(lanes);
    for step in 0..depth {
        let key = step * A::PAIR;
        for column in (0..head_size).step_by(lanes) {
            let panel = column - column % (2 * lanes);
            let width = if columns - panel > lanes { 2 * lanes } else { lanes };
            let count = lanes.min(head_size - column);
            // SAFETY: the column is one of the head, the key one of the block; the panel starts
            // `depth` words a column into the block.
            unsafe {
                let target = target.add(panel * depth + step * width + column % (2 * lanes));
                let first = source.at(block.first + key, column);
                if A::PAIR == 1 {
                    pack_row::<A>(first, source.dtype(), count, target);
                    target.add(count).write_bytes(0, lanes - count);
                } else {
                    let second = (key + 1 < block.count)
                        .then(|| source.at(block.first + key + 1, column).cast());
                    interleave::<A>(first.cast(), second, count, target);
                }
            }
        }
    }
}

/// One vector of words of two rows: the first row's elements low, the second's (or zeros) high.
///
/// # Safety
/// The instruction set of `A`; `count` elements, at most the lanes, in each row; a vector at
/// `target`.
#[inline(always)]
unsafe fn interleave<A: Arithmetic>(
    first: *const u16,
    second: Option<*const u16>,
    count: usize,
    target: *mut u32,
) {
    let lanes = lanes::<A>();
    let (mut low, mut high) = ([0u16; STAGE_ROWS], [0u16; STAGE_ROWS]);
    // SAFETY: the caller's promise; `low` and `high` hold the lanes of the widest vector.
    unsafe {
        match second {
            // Lengths known to the compiler become single loads.
            Some(second) if count == lanes => {
                std::ptr::copy_nonoverlapping(first, low.as_mut_ptr(), lanes);
                std::ptr::copy_nonoverlapping(second, high.as_mut_ptr(), lanes);
            }
            _ => {
                std::ptr::copy_nonoverlapping(first, low.as_mut_ptr(), count);
                if let Some(second) = second {
                    std::ptr::copy_nonoverlapping(second, high.as_mut_ptr(), count);
                }
            }
        }
        for lane in 0..lanes {
            *target.add(lane) = u32::from(low[lane]) | u32::from(high[lane]) << 16;
        }
    }
}

/// Writes `sums · factor` as a row of the output; every NaN as the same one.
///
/// Which of two NaN an addition passes on is the compiler's choice, and it may differ between
/// kernels of different row counts.
///
/// # Safety
/// Room for the row's elements at `target`.
#[inline(always)]
pub(super) unsafe fn write_row(sums: &[f32], factor: f32, dtype: DType, target: *mut u8) {
    let value = |sum: f32| {
        let value = sum * factor;
        if value.is_nan() { f32::NAN } else { value }
    };
    for (index, sum) in sums.iter().enumerate() {
        // SAFETY: the caller's promise.
        unsafe {
            match dtype {
                DType::Float32 => *target.cast::<f32>().add(index) = value(*sum),
                DType::BFloat16 => *target.cast::<u16>().add(index) = f32_to_bf16(value(*sum)),
                DType::Float16 => *target.cast::<u16>().add(index) = f32_to_f16(value(*sum)),
                DType::Int32 | DType::Int64 | DType::Int8 | DType::UInt8 => {
                    unreachable!("checked on entry")
                }
            }
        }
    }
}
