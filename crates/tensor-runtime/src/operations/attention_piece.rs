//! Scaled dot-product attention to keys that come in pieces.

use super::attention::{LogSumExp, check_inputs, handed_over};
use super::check;
use super::copy::with_whole_rows;
use crate::error::{ErrorCode, RuntimeError};
use crate::stream::Stream;
use crate::tensor::Tensor;
use cpu_kernels::attention::{self, PieceArguments, PieceResult, attention_to_piece};
use cpu_kernels::{Cpu, DType, TensorMut, TensorRef};
use cuda_kernels::{DeviceView, Gpu};

const NAME: &str = "attentionPiece";

/// Keys and values that follow one another in a sequence: (B, Sk, H, D) each.
#[derive(Clone, Copy)]
pub struct KeyPiece<'a> {
    /// The keys.
    pub key: &'a Tensor,
    /// Their values.
    pub value: &'a Tensor,
}

/// What an attention to a piece gives.
pub enum PieceOutput {
    /// To be given with the next piece: float32 (B, Sq, H, D and some).
    Carried(Tensor),
    /// The attention to all pieces.
    Attended(Tensor, Option<LogSumExp>),
}

/// What becomes of a piece's sums.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum PieceEnd {
    /// More keys follow: keys at the piece's end that don't fill a block of
    /// [`keys_of_attention_block`], counted from what was left, are to be given as left with them.
    Carry,
    /// These were the last: the output, and the log-sum-exp where asked for.
    Finish {
        /// Whether it is asked for.
        with_log_sum_exp: bool,
    },
}

/// How many keys of element type `dtype` an attention in pieces takes at a time.
pub fn keys_of_attention_block(stream: &Stream, dtype: DType) -> usize {
    attention::keys_of_block(stream.instruction_set(), dtype)
}

/// Attends to the next keys of a sequence: those that the piece before left over, fewer than
/// [`keys_of_attention_block`], then `piece`. After the last, output and log-sum-exp have the bytes
/// that [`super::attention`] gives for all keys at once.
///
/// `carried` is what the piece before gave; `query` and `scale` are the same for all. On processors
/// only.
pub fn attention_piece(
    stream: &Stream,
    query: &Tensor,
    left: Option<KeyPiece>,
    piece: KeyPiece,
    carried: Option<&Tensor>,
    scale: f64,
    end: PieceEnd,
) -> Result<PieceOutput, RuntimeError> {
    check_inputs(NAME, query, piece.key, piece.value, scale)?;
    let block = keys_of_attention_block(stream, query.dtype());
    let mut inputs = vec![query, piece.key, piece.value];
    if let Some(KeyPiece { key, value }) = left {
        check_inputs(NAME, query, key, value, scale)?;
        if key.shape()[1] >= block {
            let expected = format!("fewer than {block} keys");
            return Err(RuntimeError::argument(NAME, "left", expected, key.shape()[1]));
        }
        inputs.extend([key, value]);
    }
    let mut inputs: Vec<Tensor> =
        inputs.into_iter().map(|input| with_whole_rows(stream, input)).collect::<Result<_, _>>()?;
    let mut rows = query.shape().to_vec();
    let size = rows.pop().unwrap_or_default();
    let sums: Vec<usize> = [&rows[..], &[attention::carried_length(size)]].concat();
    if let Some(carried) = carried {
        check::has_dtype(NAME, "carried", carried, DType::Float32)?;
        check::has_shape(NAME, "carried", carried, &sums, "what a piece before gave")?;
        inputs.push(super::copy::contiguous(stream, carried)?);
    }
    if query.device() != crate::Device::Cpu {
        let found = query.device().to_string();
        return Err(RuntimeError::new(ErrorCode::Device, NAME, "query", "on cpu", found));
    }
    let has = Given { left: left.is_some(), carried: carried.is_some() };
    let cpu = move |cpu: &Cpu<'_>, inputs: &[TensorRef<'_>], outputs: &[TensorMut<'_>]| {
        if attention::keys_of_block(cpu.instruction_set, inputs[0].dtype) != block {
            let expected = "the same for all pieces of an attention";
            let found = cpu.instruction_set.name();
            return Err(RuntimeError::argument(NAME, "instruction set", expected, found));
        }
        run(cpu, inputs, outputs, has, scale as f32, end);
        Ok(())
    };
    let cuda = |_: &Gpu, _: &[DeviceView], _: &[DeviceView]| unreachable!("refused on submission");
    match end {
        PieceEnd::Carry => {
            let [carried] = stream.submit(NAME, inputs, [(DType::Float32, sums)], cpu, cuda)?;
            Ok(PieceOutput::Carried(carried))
        }
        PieceEnd::Finish { with_log_sum_exp } => {
            let output = (query.dtype(), query.shape().to_vec());
            if !with_log_sum_exp {
                let [output] = stream.submit(NAME, inputs, [output], cpu, cuda)?;
                return Ok(PieceOutput::Attended(output, None));
            }
            let logs = (DType::Float32, rows);
            let outputs = [output, logs.clone(), logs];
            let [output, rounded, residue] = stream.submit(NAME, inputs, outputs, cpu, cuda)?;
            Ok(PieceOutput::Attended(output, Some(LogSumExp { rounded, residue })))
        }
    }
}

/// Which of the optional inputs there are.
#[derive(Clone, Copy)]
struct Given {
    left: bool,
    carried: bool,
}

fn run(
    cpu: &Cpu,
    inputs: &[TensorRef],
    outputs: &[TensorMut],
    given: Given,
    scale: f32,
    end: PieceEnd,
) {
    let result = match (end, outputs) {
        (PieceEnd::Carry, [carried]) => PieceResult::Carried(handed_over(carried)),
        (PieceEnd::Finish { .. }, [output, sums @ ..]) => PieceResult::Attended {
            output: handed_over(output),
            log_sum_exp: match sums {
                [rounded, residue] => Some(attention::LogSumExp {
                    rounded: handed_over(rounded),
                    residue: handed_over(residue),
                }),
                _ => None,
            },
        },
        _ => unreachable!("one output or three were submitted"),
    };
    let arguments = PieceArguments {
        query: inputs[0].clone(),
        key: inputs[1].clone(),
        value: inputs[2].clone(),
        left: given.left.then(|| [inputs[3].clone(), inputs[4].clone()]),
        scale,
        carried: given.carried.then(|| inputs[inputs.len() - 1].clone()),
        result,
    };
    attention_to_piece(cpu, &arguments);
}
