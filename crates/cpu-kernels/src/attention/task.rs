//! One task: a run of query rows of one head against its keys.

use super::arithmetic::{Arithmetic, lanes};
use super::pack::{
    KeyRows, Rows, key_blocks, pack_query, packed_key_words, packed_value_words, write_row,
};
use super::schedule::part;
use super::softmax::{MaskRows, RowState, apply_scale_and_mask, softmax};
use crate::DType;
use crate::float::two_floats;
use crate::gemm::scratch::Scratch;

/// Where a task finds its keys and values.
#[derive(Clone, Copy)]
pub(super) enum Keys {
    /// Packed before, for all tasks of the head.
    Packed { keys: *const u32, values: *const u32 },
    /// In the tensors: the task is the head's only one and packs each block as it comes to it.
    Source { key: KeyRows, value: KeyRows },
}

/// Where rows of the carried sums lie: float32, each row its greatest score, the sum of its
/// exponentials, and the sums of its channels.
#[derive(Clone, Copy)]
pub(super) struct CarriedRows {
    /// The first row.
    pub data: *mut f32,
    /// Elements between rows.
    pub stride: usize,
}

/// What a task leaves. Pointers are to its first row.
#[derive(Clone, Copy)]
pub(super) enum TaskResult {
    /// The attention.
    Attended {
        output: *mut u8,
        output_dtype: DType,
        /// Elements between output rows.
        output_stride: usize,
        /// Of the rounded log-sum-exp and its residue.
        log_sum_exp: Option<[*mut f32; 2]>,
        /// Elements between rows of either.
        log_sum_exp_stride: usize,
    },
    /// The sums so far, for the keys that follow.
    Carried(CarriedRows),
}

/// What a task computes. Pointers are to its first row.
pub(super) struct Task {
    pub head_size: usize,
    pub key_count: usize,
    pub query: Rows,
    pub rows: usize,
    pub keys: Keys,
    pub scale: f32,
    pub mask: Option<MaskRows>,
    /// The sums over the keys before these; none at the first.
    pub carried: Option<CarriedRows>,
    pub result: TaskResult,
}

/// Memory of a thread, used by one task after the other.
pub(super) struct TaskScratch {
    query: Scratch<u32>,
    sums: Scratch<f32>,
    tile: Scratch<u32>,
    states: Scratch<RowState>,
    keys: Scratch<u32>,
    values: Scratch<u32>,
}

impl TaskScratch {
    /// Room for tasks of up to `rows` rows, and for a block of keys where tasks pack their own.
    pub fn new<A: Arithmetic>(
        rows: usize,
        head_size: usize,
        key_count: usize,
        packs_keys: bool,
    ) -> TaskScratch {
        let block = if packs_keys { A::KEY_BLOCK.min(key_count) } else { 0 };
        TaskScratch {
            query: Scratch::new(rows * A::QUERY_STRIDE),
            sums: Scratch::new(rows * head_size.next_multiple_of(lanes::<A>())),
            tile: Scratch::new(A::ROWS * A::TILE_STRIDE),
            states: Scratch::new(rows.div_ceil(A::ROWS)),
            keys: Scratch::new(packed_key_words::<A>(block, head_size)),
            values: Scratch::new(packed_value_words::<A>(block, head_size)),
        }
    }
}

/// Computes a task's rows of its result.
///
/// # Safety
/// The instruction set of `A`; the task's pointers are good for what they stand for, and nobody else
/// writes its output; a scratch made for as many rows, the same head size and keys, which no other task
/// is using.
#[inline(always)]
pub(super) unsafe fn attend<A: Arithmetic>(task: &Task, scratch: &TaskScratch) {
    let columns = task.head_size.next_multiple_of(lanes::<A>());
    let depth = task.head_size.div_ceil(A::PAIR);
    let tiles = task.rows.div_ceil(A::ROWS);
    // Raw scores can stand in for logits until the exponential, unless a mask is to be added or the
    // scale would turn their order (or take the padding's minus infinity to NaN).
    let in_logits = task.mask.is_some() || task.scale <= 0.0;
    let score_unit = if in_logits { 1.0 } else { task.scale };
    let unit = score_unit * A::LOGIT_UNIT;
    let query = scratch.query.as_ptr();
    let tile = scratch.tile.as_ptr();
    let sums = scratch.sums.as_ptr();
    // SAFETY: the scratch has a tile, and rows for the task's query, sums and states; the blocks'
    // places in packed keys are those that the packing used.
    unsafe {
        pack_query::<A>(task.query, task.rows, task.head_size, query);
        sums.write_bytes(0, task.rows * columns);
        let states = scratch.states.as_ptr();
        for index in 0..tiles {
            states.add(index).write(RowState::START);
        }
        let states = std::slice::from_raw_parts_mut(states, tiles);
        if let Some(carried) = task.carried {
            for (index, state) in states.iter_mut().enumerate() {
                let (first, rows) = part(task.rows, tiles, index);
                for row in 0..rows {
                    let source = carried.data.add((first + row) * carried.stride);
                    (state.maximum[row], state.sum[row]) = (*source, *source.add(1));
                    let sums = sums.add((first + row) * columns);
                    sums.copy_from_nonoverlapping(source.add(CARRIED_SCALARS), task.head_size);
                }
            }
        }
        for block in key_blocks::<A>(task.key_count) {
            let (keys, values) = match task.keys {
                Keys::Packed { keys, values } => (
                    keys.add(packed_key_words::<A>(block.first, task.head_size)),
                    values.add(packed_value_words::<A>(block.first, task.head_size)),
                ),
                Keys::Source { key, value } => {
                    let (keys, values) = (scratch.keys.as_ptr(), scratch.values.as_ptr());
                    A::pack_keys(key, task.head_size, block, keys);
                    A::pack_values(value, task.head_size, block, values);
                    (keys.cast_const(), values.cast_const())
                }
            };
            for (index, state) in states.iter_mut().enumerate() {
                let (first, rows) = part(task.rows, tiles, index);
                let query = query.add(first * A::QUERY_STRIDE);
                A::scores(rows, depth, query, keys, block.count, tile.cast());
                if in_logits {
                    let mask = task.mask.map(|mask| MaskRows {
                        data: mask
                            .data
                            .add(first * mask.row_stride + block.first * mask.key_stride),
                        ..mask
                    });
                    apply_scale_and_mask::<A>(rows, block.count, task.scale, mask, tile.cast());
                }
                let factors = softmax::<A>(rows, block.count, unit, tile.cast(), state);
                let sums = sums.add(first * columns);
                let steps = block.count.div_ceil(A::PAIR);
                A::accumulate(rows, steps, tile, values, columns, &factors, sums);
            }
        }
        for (index, state) in states.iter().enumerate() {
            let (first, rows) = part(task.rows, tiles, index);
            for row in 0..rows {
                let sums = sums.add((first + row) * columns);
                let sums = std::slice::from_raw_parts(sums, task.head_size);
                let sum =
                    RowSum { maximum: state.maximum[row], sum: state.sum[row], channels: sums };
                finish_row(&task.result, first + row, sum, score_unit);
            }
        }
    }
}

/// Scalars of a row of carried sums, before its channels.
pub(super) const CARRIED_SCALARS: usize = 2;

/// What has been summed of a row.
struct RowSum<'a> {
    maximum: f32,
    sum: f32,
    channels: &'a [f32],
}

/// Writes a row of the result.
///
/// # Safety
/// The result has that row.
#[inline(always)]
unsafe fn finish_row(result: &TaskResult, row: usize, row_sum: RowSum, score_unit: f32) {
    let RowSum { maximum, sum, channels } = row_sum;
    // SAFETY: the caller's promise.
    unsafe {
        match *result {
            TaskResult::Carried(CarriedRows { data, stride }) => {
                let target = data.add(row * stride);
                (*target, *target.add(1)) = (maximum, sum);
                let target = target.add(CARRIED_SCALARS);
                target.copy_from_nonoverlapping(channels.as_ptr(), channels.len());
            }
            TaskResult::Attended {
                output,
                output_dtype,
                output_stride,
                log_sum_exp,
                log_sum_exp_stride,
            } => {
                let target = output.add(row * output_stride * output_dtype.size());
                if sum == 0.0 {
                    // No key, or none that isn't masked: bits of zero are zeros in every float type.
                    target.write_bytes(0, channels.len() * output_dtype.size());
                } else {
                    write_row(channels, 1.0 / sum, output_dtype, target);
                }
                if let Some(targets) = log_sum_exp {
                    let exact = f64::from(maximum) * f64::from(score_unit) + f64::from(sum).ln();
                    let exact = if sum == 0.0 { f64::NEG_INFINITY } else { exact };
                    for (target, value) in targets.into_iter().zip(two_floats(exact)) {
                        *target.add(row * log_sum_exp_stride) = value;
                    }
                }
            }
        }
    }
}
