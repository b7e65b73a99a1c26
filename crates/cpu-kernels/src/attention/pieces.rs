//! Attention to keys that come in pieces, in the order of the sequence, as ranks in a ring have them.
//!
//! A row's sums run over blocks of keys cut from key 0 ([`super`]). So a piece is attended to as far as
//! it fills blocks, what is left of it comes before the next one, and the sums are carried over as they
//! are: the bytes are those of attention to all keys at once.

use super::driver::{Step, StepResult};
use super::task::CARRIED_SCALARS;
use super::{LogSumExp, arithmetic::Arithmetic, available, compute, portable};
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512, avx512_bf16};
use crate::{Cpu, DType, InstructionSet, TensorMut, TensorRef};

/// What [`attention_to_piece`] reads and fills.
pub struct PieceArguments<'a> {
    /// (batch, queries, heads, head size), float; the last stride is 1, the others are free.
    pub query: TensorRef<'a>,
    /// Keys and values that the piece before left over, fewer than [`keys_of_block`]: (batch, left,
    /// heads, head size) each, of the query's type, the last stride 1.
    pub left: Option<[TensorRef<'a>; 2]>,
    /// (batch, keys, heads, head size) of the query's type; the last stride is 1.
    pub key: TensorRef<'a>,
    /// (batch, keys, heads, head size) of the query's type; the last stride is 1.
    pub value: TensorRef<'a>,
    /// What scores are multiplied by, the same for every piece.
    pub scale: f32,
    /// What the piece before carried over; none at the first.
    pub carried: Option<TensorRef<'a>>,
    /// What to fill.
    pub result: PieceResult<'a>,
}

/// What a piece fills.
pub enum PieceResult<'a> {
    /// More keys follow: float32 (batch, queries, heads, [`carried_length`]), contiguous. Keys that
    /// don't fill a block, at the end of the piece, are not attended to.
    Carried(TensorMut<'a>),
    /// These were the last keys.
    Attended {
        /// (batch, queries, heads, head size), contiguous, of the query's type.
        output: TensorMut<'a>,
        /// As attention gives it.
        log_sum_exp: Option<LogSumExp<'a>>,
    },
}

/// How many keys make a block.
pub fn keys_of_block(instruction_set: InstructionSet, dtype: DType) -> usize {
    match (available(instruction_set), dtype) {
        #[cfg(target_arch = "x86_64")]
        (InstructionSet::Avx512Bf16, DType::BFloat16) => avx512_bf16::Avx512Bf16::KEY_BLOCK,
        #[cfg(target_arch = "x86_64")]
        (InstructionSet::Avx512Bf16 | InstructionSet::Avx512, _) => avx512::Avx512::KEY_BLOCK,
        #[cfg(target_arch = "x86_64")]
        (InstructionSet::Avx2, _) => avx2::Avx2::KEY_BLOCK,
        _ => portable::Portable::KEY_BLOCK,
    }
}

/// Elements that a row of `head_size` channels carries over.
pub fn carried_length(head_size: usize) -> usize {
    head_size + CARRIED_SCALARS
}

/// Attends to the next keys. After the last, output and log-sum-exp have the bytes that
/// [`super::attention`] gives for all of them, without a mask, on the same instruction set.
///
/// Where the pool is cancelled, rows may be left unwritten.
///
/// # Panics
/// Where a shape, dtype or stride isn't as [`PieceArguments`] says. The tensor runtime checks what
/// users give before it calls.
pub fn attention_to_piece(cpu: &Cpu, arguments: &PieceArguments) {
    let PieceArguments { query, left, key, value, scale, carried, result } = arguments;
    let block = keys_of_block(cpu.instruction_set, query.dtype);
    super::check_inputs(query, key, value);
    let mut keys = key.shape()[1];
    if let Some([key, value]) = left {
        super::check_inputs(query, key, value);
        assert!(key.shape()[1] < block, "{} keys are left, a block or more", key.shape()[1]);
        keys += key.shape()[1];
    }
    let rows = &query.shape()[..3];
    let sums: Vec<usize> = rows.iter().copied().chain([carried_length(query.shape()[3])]).collect();
    if let Some(carried) = carried {
        assert_eq!(carried.shape(), sums, "shape of carried");
        assert_eq!(carried.dtype, DType::Float32, "dtype of carried");
        assert!(carried.layout.is_contiguous(), "carried has strides {:?}", carried.strides());
    }
    let (key_count, result) = match result {
        PieceResult::Carried(target) => {
            assert_eq!(target.shape(), sums, "shape of the sums to carry");
            assert_eq!(target.dtype, DType::Float32, "dtype of the sums to carry");
            (keys - keys % block, StepResult::Carried(target))
        }
        PieceResult::Attended { output, log_sum_exp } => {
            super::check_outputs(query, output, log_sum_exp.as_ref());
            (keys, StepResult::Attended { output, log_sum_exp: log_sum_exp.as_ref() })
        }
    };
    let step = Step {
        query,
        left: left.as_ref().map(|[key, value]| [key, value]),
        key,
        value,
        key_count,
        mask: None,
        scale: *scale,
        carried: carried.as_ref(),
        result,
    };
    compute(cpu, &step);
}
