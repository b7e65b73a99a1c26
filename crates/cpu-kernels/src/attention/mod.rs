//! Scaled dot-product attention: softmax(scale · Q Kᵀ + mask) V.
//!
//! The softmax is formed online over blocks of keys (FlashAttention: Dao et al. 2022), so no matrix of
//! scores is ever held. Keys and values are packed once for all query rows of a head.
//!
//! The blocks are cut from key 0 with a fixed length, and each row's sums run over blocks, and within
//! a block over keys, in one order. So the bytes of a query's row depend on that row, the head's keys,
//! values and mask, and the instruction set; not on other rows, heads, batches or threads.

mod arithmetic;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avx512_bf16;
mod driver;
mod exponential;
mod pack;
mod pieces;
mod portable;
mod product;
mod schedule;
mod softmax;
mod task;
#[cfg(test)]
mod tests;

pub use pieces::{PieceArguments, PieceResult, attention_to_piece, carried_length, keys_of_block};

use crate::{Cpu, DType, InstructionSet, TensorMut, TensorRef};
use driver::{Step, StepResult, run};

/// The greatest head size.
pub const MAX_HEAD_SIZE: usize = 1024;

/// What [`attention`] reads and fills.
pub struct AttentionArguments<'a> {
    /// (batch, queries, heads, head size), float; the last stride is 1, the others are free.
    pub query: TensorRef<'a>,
    /// (batch, keys, heads, head size) of the query's type; the last stride is 1.
    pub key: TensorRef<'a>,
    /// (batch, keys, heads, head size) of the query's type; the last stride is 1.
    pub value: TensorRef<'a>,
    /// Added to the scaled scores: float32 (batch, heads, queries, keys). A dimension may be 1, or
    /// have the stride 0, to be repeated; the last stride is 0 or 1.
    pub mask: Option<TensorRef<'a>>,
    /// What scores are multiplied by; 1 / sqrt(head size) in the paper.
    pub scale: f32,
    /// (batch, queries, heads, head size), contiguous, of the query's type.
    pub output: TensorMut<'a>,
    /// Natural logarithm of the sum of the exponentials of the scaled and masked scores.
    pub log_sum_exp: Option<LogSumExp<'a>>,
}

/// A logarithm of a sum of exponentials a row, in two numbers: parts of an attention are weighed by
/// its exponential, and rounding one above 16 to float32 moves that by up to 1e-6.
pub struct LogSumExp<'a> {
    /// Float32 (batch, queries, heads), rounded to nearest.
    pub rounded: TensorMut<'a>,
    /// Float32 (batch, queries, heads): what the rounding took away; 0 where `rounded` isn't finite.
    pub residue: TensorMut<'a>,
}

/// Fills `output` and `log_sum_exp`, which changes nothing of `output`.
///
/// float32 is computed as such. bfloat16 with `avx512_bf16` has float32 scores and sums, and
/// probabilities rounded to bfloat16; on other instruction sets, and for float16, the inputs are
/// widened to float32 and only the output is rounded.
///
/// - A row without keys, or whose scores are all minus infinity, is zeros with a log-sum-exp of minus
///   infinity, whatever the values.
/// - A NaN score, or one of plus infinity, makes its row NaN, log-sum-exp too.
/// - A NaN value makes its channel NaN in every row of its head, as 0 · NaN is NaN: a masked key's
///   too. An infinite value makes it infinite, or NaN in rows where the key's probability is 0.
/// - Finite scores don't overflow, however large.
/// - Where the pool is cancelled, rows may be left unwritten.
///
/// # Panics
/// Where a shape, dtype or stride isn't as [`AttentionArguments`] says, or the head size isn't 1 to
/// [`MAX_HEAD_SIZE`]. The tensor runtime checks what users give before it calls.
pub fn attention(cpu: &Cpu, arguments: &AttentionArguments) {
    check(arguments);
    let AttentionArguments { query, key, value, mask, scale, output, log_sum_exp } = arguments;
    let step = Step {
        query,
        left: None,
        key,
        value,
        key_count: key.shape()[1],
        mask: mask.as_ref(),
        scale: *scale,
        carried: None,
        result: StepResult::Attended { output, log_sum_exp: log_sum_exp.as_ref() },
    };
    compute(cpu, &step);
}

fn compute(cpu: &Cpu, step: &Step) {
    // SAFETY: every caller has checked the step's tensors, and the machine has the instruction set.
    unsafe {
        match (available(cpu.instruction_set), step.query.dtype) {
            #[cfg(target_arch = "x86_64")]
            (InstructionSet::Avx512Bf16, DType::BFloat16) => {
                run::<avx512_bf16::Avx512Bf16>(cpu, step);
            }
            #[cfg(target_arch = "x86_64")]
            (InstructionSet::Avx512Bf16 | InstructionSet::Avx512, _) => {
                run::<avx512::Avx512>(cpu, step);
            }
            #[cfg(target_arch = "x86_64")]
            (InstructionSet::Avx2, _) => run::<avx2::Avx2>(cpu, step),
            _ => run::<portable::Portable>(cpu, step),
        }
    }
}

/// The set to compute with: `allowed` is the widest that may be used, which need not be one that this
/// machine has.
fn available(allowed: InstructionSet) -> InstructionSet {
    allowed.min(InstructionSet::detect())
}

/// # Panics
/// As [`attention`].
fn check(arguments: &AttentionArguments) {
    let AttentionArguments { query, key, value, mask, output, log_sum_exp, .. } = arguments;
    check_inputs(query, key, value);
    check_outputs(query, output, log_sum_exp.as_ref());
    let (&[batch, queries, heads, _], keys) = (query.shape(), key.shape()[1]) else {
        unreachable!("just checked")
    };
    if let Some(mask) = mask {
        assert_eq!(mask.dtype, DType::Float32, "dtype of mask");
        let whole = [batch, heads, queries, keys];
        let fits = mask.shape().len() == 4
            && mask.shape().iter().zip(whole).all(|(have, want)| *have == want || *have == 1);
        assert!(fits, "mask has shape {:?}, which doesn't repeat to {whole:?}", mask.shape());
        assert!(
            mask.shape()[3] <= 1 || mask.strides()[3] <= 1,
            "mask has a stride of {} between keys, not 0 or 1",
            mask.strides()[3]
        );
    }
}

/// # Panics
/// As [`attention`].
fn check_inputs(query: &TensorRef, key: &TensorRef, value: &TensorRef) {
    let &[batch, queries, heads, head_size] = query.shape() else {
        panic!("query has shape {:?}, not (batch, queries, heads, head size)", query.shape());
    };
    assert!(query.dtype.is_float(), "query is {}, not a float type", query.dtype.name());
    assert!(
        (1..=MAX_HEAD_SIZE).contains(&head_size),
        "head size {head_size} is not 1 to {MAX_HEAD_SIZE}"
    );
    let &[_, keys, _, _] = key.shape() else {
        panic!("key has shape {:?}, not (batch, keys, heads, head size)", key.shape());
    };
    for (name, tensor) in [("query", query), ("key", key), ("value", value)] {
        let length = if name == "query" { queries } else { keys };
        assert_eq!(tensor.shape(), [batch, length, heads, head_size], "shape of {name}");
        assert_eq!(tensor.dtype, query.dtype, "dtype of {name}");
        assert!(
            head_size == 1 || tensor.strides()[3] == 1,
            "{name} has a stride of {} between channels, not 1",
            tensor.strides()[3]
        );
    }
}

/// # Panics
/// As [`attention`].
fn check_outputs(query: &TensorRef, output: &TensorMut, log_sum_exp: Option<&LogSumExp>) {
    assert_eq!(output.shape(), query.shape(), "shape of output");
    assert_eq!(output.dtype, query.dtype, "dtype of output");
    if let Some(LogSumExp { rounded, residue }) = log_sum_exp {
        for (name, tensor) in [("log_sum_exp", rounded), ("residue", residue)] {
            assert_eq!(tensor.shape(), &query.shape()[..3], "shape of {name}");
            assert_eq!(tensor.dtype, DType::Float32, "dtype of {name}");
        }
    }
}
