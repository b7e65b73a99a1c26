//! From the arguments to tasks on the pool.

use super::LogSumExp;
use super::arithmetic::Arithmetic;
use super::pack::{KeyBlock, KeyRows, Rows, key_blocks, packed_key_words, packed_value_words};
use super::schedule::{TASK_ROWS, group_count, part, tasks_per_head};
use super::softmax::MaskRows;
use super::task::{CARRIED_SCALARS, CarriedRows, Keys, Task, TaskResult, TaskScratch};
use crate::gemm::scratch::{Lending, Scratch};
use crate::{Cpu, TensorMut, TensorRef};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Attention to some keys: all there are, or the next of them.
pub(super) struct Step<'a> {
    pub query: &'a TensorRef<'a>,
    /// Keys and values that the step before left over, which come first.
    pub left: Option<[&'a TensorRef<'a>; 2]>,
    pub key: &'a TensorRef<'a>,
    pub value: &'a TensorRef<'a>,
    /// How many of these keys are attended to.
    pub key_count: usize,
    pub mask: Option<&'a TensorRef<'a>>,
    pub scale: f32,
    /// The sums of the steps before.
    pub carried: Option<&'a TensorRef<'a>>,
    pub result: StepResult<'a>,
}

/// What a step fills.
pub(super) enum StepResult<'a> {
    /// The attention to all keys up to these.
    Attended { output: &'a TensorMut<'a>, log_sum_exp: Option<&'a LogSumExp<'a>> },
    /// The sums, for the next step.
    Carried(&'a TensorMut<'a>),
}

/// A float tensor's first element.
fn first_byte(tensor: &TensorRef) -> *const u8 {
    match tensor.dtype.size() {
        2 => tensor.as_ptr::<u16>().cast(),
        _ => tensor.as_ptr::<f32>().cast(),
    }
}

/// The output's first element.
fn output_first_byte(tensor: &TensorMut) -> *mut u8 {
    match tensor.dtype.size() {
        2 => tensor.as_mut_ptr::<u16>().cast(),
        _ => tensor.as_mut_ptr::<f32>().cast(),
    }
}

/// A tensor's rows for one head; heads are counted through all batches.
fn rows_of_head(tensor: &TensorRef, head: usize) -> Rows {
    let (heads, strides) = (tensor.shape()[2], tensor.strides());
    let offset = head / heads * strides[0] + head % heads * strides[2];
    // SAFETY: the tensor has that batch and head, so their first element lies in it.
    let data = unsafe { first_byte(tensor).add(offset * tensor.dtype.size()) };
    Rows { data, dtype: tensor.dtype, stride: strides[1] }
}

/// The keys of a step for one head, or its values.
fn key_rows_of_head(left: Option<&TensorRef>, tensor: &TensorRef, head: usize) -> KeyRows {
    let rows = rows_of_head(tensor, head);
    match left {
        None => KeyRows { left: rows, left_count: 0, rows },
        Some(left) => KeyRows { left: rows_of_head(left, head), left_count: left.shape()[1], rows },
    }
}

/// The mask's rows for one head, at query 0 and key 0.
fn mask_of_head(mask: &TensorRef, heads: usize, head: usize) -> MaskRows {
    let stride = |dim: usize| if mask.shape()[dim] == 1 { 0 } else { mask.strides()[dim] };
    let offset = head / heads * stride(0) + head % heads * stride(1);
    // SAFETY: the mask has, or repeats to, that batch and head.
    let data = unsafe { mask.as_ptr::<f32>().add(offset) };
    MaskRows { data, row_stride: stride(2), key_stride: stride(3) }
}

/// Packed keys and values of a group of heads.
struct Packed {
    keys: *mut u32,
    values: *mut u32,
    key_words: usize,
    value_words: usize,
}

// SAFETY: the packing's tasks write disjoint blocks; after them it is only read.
unsafe impl Sync for Packed {}

impl Packed {
    /// The places of a block of the group's head `index`.
    ///
    /// # Safety
    /// The group has that head, the sequence that block.
    unsafe fn block<A: Arithmetic>(
        &self,
        index: usize,
        first_key: usize,
        head_size: usize,
    ) -> (*mut u32, *mut u32) {
        // SAFETY: the caller's promise.
        unsafe {
            (
                self.keys.add(index * self.key_words + packed_key_words::<A>(first_key, head_size)),
                self.values
                    .add(index * self.value_words + packed_value_words::<A>(first_key, head_size)),
            )
        }
    }
}

/// A step with one kind of arithmetic.
///
/// # Safety
/// The instruction set of `A`; arguments that have been checked.
pub(super) unsafe fn run<A: Arithmetic>(cpu: &Cpu, step: &Step) {
    let &[batch, queries, heads_per_batch, head_size] = step.query.shape() else {
        unreachable!("checked on entry")
    };
    let heads = batch * heads_per_batch;
    if heads * queries == 0 {
        return;
    }
    let key_count = step.key_count;
    let key_words = packed_key_words::<A>(key_count, head_size);
    let value_words = packed_value_words::<A>(key_count, head_size);
    let groups = group_count(heads, (key_words + value_words) * size_of::<u32>());
    let most_heads = heads.div_ceil(groups);
    let tiles = queries.div_ceil(A::ROWS);
    let tasks_of = |heads| tasks_per_head(cpu.pool.threads(), heads, tiles, A::ROWS);
    let most_rows = queries.min(TASK_ROWS);
    let scratches = Lending::new();

    if tasks_of(heads) == 1 {
        cpu.pool.for_each(heads, |head| {
            let (key, value) = (keys_of_head(step, head), values_of_head(step, head));
            let task = task_of(step, head, 0..queries, Keys::Source { key, value });
            let make = || TaskScratch::new::<A>(most_rows, head_size, key_count, true);
            // SAFETY: the caller's promise; each task writes the rows of its own head.
            scratches.with(make, |scratch| unsafe { A::attend(&task, scratch) });
        });
        return;
    }

    let keys = Scratch::<u32>::new(most_heads * key_words);
    let values = Scratch::<u32>::new(most_heads * value_words);
    let packed = Packed { keys: keys.as_ptr(), values: values.as_ptr(), key_words, value_words };
    let blocks: Vec<KeyBlock> = key_blocks::<A>(key_count).collect();
    for group in 0..groups {
        let (first_head, heads) = part(heads, groups, group);
        let parts = heads * blocks.len() * 2;
        let packed_parts = AtomicUsize::new(0);
        cpu.pool.for_each(parts, |index| {
            let (is_value, index) = (index % 2 == 1, index / 2);
            let (index, block) = (index / blocks.len(), blocks[index % blocks.len()]);
            // SAFETY: the caller's promise; each task writes its own block.
            unsafe {
                let (keys, values) = packed.block::<A>(index, block.first, head_size);
                if is_value {
                    let value = values_of_head(step, first_head + index);
                    A::pack_values(value, head_size, block, values);
                } else {
                    let key = keys_of_head(step, first_head + index);
                    A::pack_keys(key, head_size, block, keys);
                }
            }
            packed_parts.fetch_add(1, Ordering::Relaxed);
        });
        if packed_parts.into_inner() < parts {
            // Cancelled. The tasks below would read what nobody packed if the pool were resumed now.
            return;
        }
        let tasks = tasks_of(heads);
        cpu.pool.for_each(heads * tasks, |index| {
            let (index, cut) = (index / tasks, index % tasks);
            let (first_tile, tile_count) = part(tiles, tasks, cut);
            let first = first_tile * A::ROWS;
            let rows = first..queries.min(first + tile_count * A::ROWS);
            // SAFETY: the group has that head, and every sequence a place for block 0.
            let (keys, values) = unsafe { packed.block::<A>(index, 0, head_size) };
            let keys = Keys::Packed { keys, values };
            let task = task_of(step, first_head + index, rows, keys);
            let make = || TaskScratch::new::<A>(most_rows, head_size, key_count, false);
            // SAFETY: the caller's promise; each task writes its own rows of a head.
            scratches.with(make, |scratch| unsafe { A::attend(&task, scratch) });
        });
    }
}

fn keys_of_head(step: &Step, head: usize) -> KeyRows {
    key_rows_of_head(step.left.map(|[key, _]| key), step.key, head)
}

fn values_of_head(step: &Step, head: usize) -> KeyRows {
    key_rows_of_head(step.left.map(|[_, value]| value), step.value, head)
}

/// The task of some query rows of a head.
fn task_of(step: &Step, head: usize, rows: Range<usize>, keys: Keys) -> Task {
    let &[_, queries, heads, head_size] = step.query.shape() else {
        unreachable!("checked on entry")
    };
    let mut query = rows_of_head(step.query, head);
    // Results are contiguous, with the heads of a row side by side.
    let first_row = (head / heads * queries + rows.start) * heads + head % heads;
    let carried = |data: *mut f32| {
        let row = head_size + CARRIED_SCALARS;
        // SAFETY: the sums have that row.
        CarriedRows { data: unsafe { data.add(first_row * row) }, stride: heads * row }
    };
    // SAFETY: the tensors have that head and row, and the mask has or repeats to it.
    unsafe {
        query.data = query.data.add(rows.start * query.stride * query.dtype.size());
        Task {
            head_size,
            key_count: step.key_count,
            query,
            rows: rows.len(),
            keys,
            scale: step.scale,
            mask: step.mask.map(|mask| {
                let mask = mask_of_head(mask, heads, head);
                MaskRows { data: mask.data.add(rows.start * mask.row_stride), ..mask }
            }),
            carried: step.carried.map(|sums| carried(sums.as_ptr::<f32>().cast_mut())),
            result: match step.result {
                StepResult::Carried(sums) => TaskResult::Carried(carried(sums.as_mut_ptr())),
                StepResult::Attended { output, log_sum_exp } => TaskResult::Attended {
                    output: output_first_byte(output)
                        .add(first_row * head_size * output.dtype.size()),
                    output_dtype: output.dtype,
                    output_stride: heads * head_size,
                    log_sum_exp: log_sum_exp.map(|LogSumExp { rounded, residue }| {
                        [rounded, residue].map(|sums| sums.as_mut_ptr::<f32>().add(first_row))
                    }),
                    log_sum_exp_stride: heads,
                },
            },
        }
    }
}
