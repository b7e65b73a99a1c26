//! Products, convolutions and attention.

use super::*;
use tensor_runtime::operations::{KeyPiece, PartialAttention, PieceEnd, PieceOutput};

/// A linear layer.
#[napi(catch_unwind)]
pub fn linear(
    input: &NativeTensor,
    weight: &NativeTensor,
    bias: Option<&NativeTensor>,
    activation: String,
) -> Result<NativeTensor> {
    handle(operations::linear(
        cpu(),
        input.get()?,
        weight.get()?,
        optional(bias)?.as_ref(),
        to_activation("linear", &activation)?,
    ))
}

/// A convolution over time, height and width of channels-last video.
#[napi(js_name = "conv3d", catch_unwind)]
pub fn conv3d(
    input: &NativeTensor,
    weight: &NativeTensor,
    bias: Option<&NativeTensor>,
    stride: Vec<f64>,
    padding: Vec<Vec<f64>>,
) -> Result<NativeTensor> {
    let padding = pairs("conv3d", "padding", &padding)?.try_into().map_err(|pairs| {
        error::argument("conv3d", "padding", "three pairs", format!("{pairs:?}"))
    })?;
    handle(operations::conv3d(
        cpu(),
        input.get()?,
        weight.get()?,
        optional(bias)?.as_ref(),
        three("conv3d", "stride", &stride)?,
        padding,
    ))
}

/// Attention over (B, S, H, D); returns the output and, where asked for, the log-sum-exp and its
/// residue.
#[napi(catch_unwind)]
pub fn attention(
    query: &NativeTensor,
    key: &NativeTensor,
    value: &NativeTensor,
    mask: Option<&NativeTensor>,
    scale: f64,
    with_log_sum_exp: bool,
) -> Result<Vec<NativeTensor>> {
    let (output, log_sum_exp) = operations::attention(
        cpu(),
        query.get()?,
        key.get()?,
        value.get()?,
        optional(mask)?.as_ref(),
        scale,
        with_log_sum_exp,
    )
    .map_err(from_runtime)?;
    let sums = log_sum_exp.into_iter().flat_map(|sums| [sums.rounded, sums.residue]);
    Ok(std::iter::once(output).chain(sums).map(NativeTensor::from).collect())
}

/// How many keys of a dtype an attention in pieces takes at a time.
#[napi(catch_unwind)]
pub fn keys_of_attention_block(dtype: String) -> Result<u32> {
    let dtype = to_dtype("keysOfAttentionBlock", &dtype)?;
    Ok(operations::keys_of_attention_block(cpu(), dtype) as u32)
}

/// Attention to the next keys of a sequence: what is left over, if there is anything, then a piece.
/// Returns what is to be carried to the next, or after the last what [`attention`] does.
#[napi(catch_unwind)]
pub fn attention_piece(
    query: &NativeTensor,
    keys: Vec<&NativeTensor>,
    values: Vec<&NativeTensor>,
    carried: Option<&NativeTensor>,
    scale: f64,
    is_last: bool,
    with_log_sum_exp: bool,
) -> Result<Vec<NativeTensor>> {
    let (left, piece) = match (&keys[..], &values[..]) {
        ([key], [value]) => (None, KeyPiece { key: key.get()?, value: value.get()? }),
        ([left_key, key], [left_value, value]) => (
            Some(KeyPiece { key: left_key.get()?, value: left_value.get()? }),
            KeyPiece { key: key.get()?, value: value.get()? },
        ),
        _ => {
            let found = format!("{} keys and {} values", keys.len(), values.len());
            return Err(error::argument("attentionPiece", "keys", "one or two, as values", found));
        }
    };
    let end = if is_last { PieceEnd::Finish { with_log_sum_exp } } else { PieceEnd::Carry };
    let output = operations::attention_piece(
        cpu(),
        query.get()?,
        left,
        piece,
        optional(carried)?.as_ref(),
        scale,
        end,
    )
    .map_err(from_runtime)?;
    let (first, sums) = match output {
        PieceOutput::Carried(carried) => (carried, None),
        PieceOutput::Attended(output, sums) => (output, sums),
    };
    let sums = sums.into_iter().flat_map(|sums| [sums.rounded, sums.residue]);
    Ok(std::iter::once(first).chain(sums).map(NativeTensor::from).collect())
}

/// Attention over the keys of two parts: its output, its log-sum-exp and the residue of that.
#[napi(catch_unwind)]
pub fn merge_attention(
    first: &NativeTensor,
    first_log_sum_exp: &NativeTensor,
    second: &NativeTensor,
    second_log_sum_exp: &NativeTensor,
    first_residue: Option<&NativeTensor>,
    second_residue: Option<&NativeTensor>,
) -> Result<Vec<NativeTensor>> {
    let (first_residue, second_residue) = (optional(first_residue)?, optional(second_residue)?);
    let (output, log_sum_exp) = operations::merge_attention(
        cpu(),
        PartialAttention {
            output: first.get()?,
            log_sum_exp: first_log_sum_exp.get()?,
            residue: first_residue.as_ref(),
        },
        PartialAttention {
            output: second.get()?,
            log_sum_exp: second_log_sum_exp.get()?,
            residue: second_residue.as_ref(),
        },
    )
    .map_err(from_runtime)?;
    Ok([output, log_sum_exp.rounded, log_sum_exp.residue].map(NativeTensor::from).into())
}
