//! Operations: arguments apart, one call, the result as a handle.

use crate::error::{self, from_runtime};
use crate::stream::cpu;
use crate::tensor::{NativeTensor, to_dtype, to_size, to_sizes};
use napi::bindgen_prelude::*;
use napi_derive::napi;
use tensor_runtime::operations::{
    self, Activation, BinaryOperation, ChannelNormOptions, LayerNormOptions, RmsNormOptions,
};
use tensor_runtime::{RuntimeError, Tensor};

fn handle(result: std::result::Result<Tensor, RuntimeError>) -> Result<NativeTensor> {
    result.map(NativeTensor::from).map_err(from_runtime)
}

fn optional(tensor: Option<&NativeTensor>) -> Result<Option<Tensor>> {
    tensor.map(|tensor| tensor.get().cloned()).transpose()
}

fn all(tensors: Vec<&NativeTensor>) -> Result<Vec<Tensor>> {
    tensors.into_iter().map(|tensor| tensor.get().cloned()).collect()
}

fn to_binary(name: &str) -> Result<BinaryOperation> {
    Ok(match name {
        "add" => BinaryOperation::Add,
        "subtract" => BinaryOperation::Subtract,
        "multiply" => BinaryOperation::Multiply,
        "divide" => BinaryOperation::Divide,
        "maximum" => BinaryOperation::Maximum,
        "minimum" => BinaryOperation::Minimum,
        _ => {
            return Err(error::argument(
                "binary",
                "operation",
                "one of add, subtract, multiply, divide, maximum, minimum",
                name,
            ));
        }
    })
}

fn to_activation(operation: &'static str, name: &str) -> Result<Activation> {
    Ok(match name {
        "none" => Activation::None,
        "silu" => Activation::Silu,
        "gelu" => Activation::Gelu,
        "geluTanh" => Activation::GeluTanh,
        "quickGelu" => Activation::QuickGelu,
        _ => {
            return Err(error::argument(
                operation,
                "activation",
                "one of none, silu, gelu, geluTanh, quickGelu",
                name,
            ));
        }
    })
}

fn three(operation: &'static str, name: &str, numbers: &[f64]) -> Result<[usize; 3]> {
    to_sizes(operation, name, numbers)?.try_into().map_err(|sizes: Vec<usize>| {
        error::argument(operation, name, "three numbers: time, height, width", format!("{sizes:?}"))
    })
}

fn pairs(operation: &'static str, name: &str, numbers: &[Vec<f64>]) -> Result<Vec<[usize; 2]>> {
    numbers
        .iter()
        .map(|pair| {
            to_sizes(operation, name, pair)?.try_into().map_err(|sizes: Vec<usize>| {
                error::argument(operation, name, "pairs of before and after", format!("{sizes:?}"))
            })
        })
        .collect()
}

/// A contiguous copy, cast to `dtype`.
#[napi(catch_unwind)]
pub fn copy(input: &NativeTensor, dtype: String) -> Result<NativeTensor> {
    handle(operations::copy(cpu(), input.get()?, to_dtype("to", &dtype)?))
}

/// A tensor of one value.
#[napi(catch_unwind)]
pub fn fill(dtype: String, shape: Vec<f64>, value: f64) -> Result<NativeTensor> {
    let shape = to_sizes("fill", "shape", &shape)?;
    handle(operations::fill(cpu(), to_dtype("fill", &dtype)?, &shape, value))
}

/// An elementwise operation on two tensors that broadcast.
#[napi(catch_unwind)]
pub fn binary(
    operation: String,
    left: &NativeTensor,
    right: &NativeTensor,
) -> Result<NativeTensor> {
    handle(operations::binary(cpu(), to_binary(&operation)?, left.get()?, right.get()?))
}

/// An elementwise operation on a tensor and a number.
#[napi(catch_unwind)]
pub fn binary_scalar(operation: String, left: &NativeTensor, right: f64) -> Result<NativeTensor> {
    handle(operations::binary_scalar(cpu(), to_binary(&operation)?, left.get()?, right))
}

/// An activation function.
#[napi(catch_unwind)]
pub fn activation(kind: String, input: &NativeTensor) -> Result<NativeTensor> {
    handle(operations::activation(cpu(), to_activation("activation", &kind)?, input.get()?))
}

/// Values held between `low` and `high`.
#[napi(catch_unwind)]
pub fn clamp(input: &NativeTensor, low: f64, high: f64) -> Result<NativeTensor> {
    handle(operations::clamp(cpu(), input.get()?, low, high))
}

/// The sum of tensors times coefficients.
#[napi(catch_unwind)]
pub fn weighted_sum(tensors: Vec<&NativeTensor>, coefficients: Vec<f64>) -> Result<NativeTensor> {
    handle(operations::weighted_sum(cpu(), &all(tensors)?, &coefficients))
}

/// Tensors one after the other along `dim`.
#[napi(catch_unwind)]
pub fn concatenate(tensors: Vec<&NativeTensor>, dim: f64) -> Result<NativeTensor> {
    let dim = to_size("concatenate", "dim", dim)?;
    handle(operations::concatenate(cpu(), &all(tensors)?, dim))
}

/// Zeros before and after, along each dimension.
#[napi(catch_unwind)]
pub fn pad(input: &NativeTensor, padding: Vec<Vec<f64>>) -> Result<NativeTensor> {
    handle(operations::pad(cpu(), input.get()?, &pairs("pad", "padding", &padding)?))
}

/// Rows of a table by index.
#[napi(catch_unwind)]
pub fn embedding(table: &NativeTensor, indices: &NativeTensor) -> Result<NativeTensor> {
    handle(operations::embedding(cpu(), table.get()?, indices.get()?))
}

/// One byte: 1 where every value is finite.
#[napi(catch_unwind)]
pub fn all_finite(input: &NativeTensor) -> Result<NativeTensor> {
    handle(operations::all_finite(cpu(), input.get()?))
}

/// Layer normalisation over the last dimension, with modulation.
#[napi(catch_unwind)]
pub fn layer_norm(
    input: &NativeTensor,
    weight: Option<&NativeTensor>,
    bias: Option<&NativeTensor>,
    scale: Option<&NativeTensor>,
    shift: Option<&NativeTensor>,
    epsilon: f64,
) -> Result<NativeTensor> {
    let options = LayerNormOptions {
        weight: optional(weight)?,
        bias: optional(bias)?,
        scale: optional(scale)?,
        shift: optional(shift)?,
        epsilon,
    };
    handle(operations::layer_norm(cpu(), input.get()?, options))
}

/// Root-mean-square normalisation over the last dimension.
#[napi(catch_unwind)]
pub fn rms_norm(
    input: &NativeTensor,
    weight: Option<&NativeTensor>,
    epsilon: f64,
    round_before_weight: bool,
) -> Result<NativeTensor> {
    let options = RmsNormOptions { weight: optional(weight)?, epsilon, round_before_weight };
    handle(operations::rms_norm(cpu(), input.get()?, options))
}

/// Rotary position embedding of interleaved pairs.
#[napi(catch_unwind)]
pub fn rotary(
    input: &NativeTensor,
    cos: &NativeTensor,
    sin: &NativeTensor,
) -> Result<NativeTensor> {
    handle(operations::rotary(cpu(), input.get()?, cos.get()?, sin.get()?))
}

/// Root-mean-square normalisation over all heads, then rotary position embedding.
#[napi(catch_unwind)]
pub fn rms_norm_rotary(
    input: &NativeTensor,
    weight: &NativeTensor,
    cos: &NativeTensor,
    sin: &NativeTensor,
    heads: f64,
    epsilon: f64,
) -> Result<NativeTensor> {
    let heads = to_size("rmsNormRotary", "heads", heads)?;
    handle(operations::rms_norm_rotary(
        cpu(),
        input.get()?,
        weight.get()?,
        cos.get()?,
        sin.get()?,
        heads,
        epsilon,
    ))
}

/// A residual plus a gated update.
#[napi(catch_unwind)]
pub fn gated_residual(
    residual: &NativeTensor,
    update: &NativeTensor,
    gate: &NativeTensor,
) -> Result<NativeTensor> {
    handle(operations::gated_residual(cpu(), residual.get()?, update.get()?, gate.get()?))
}

/// Normalisation of channels to length √C, then an activation.
#[napi(catch_unwind)]
pub fn channel_norm(
    input: &NativeTensor,
    weight: &NativeTensor,
    bias: Option<&NativeTensor>,
    activation: String,
) -> Result<NativeTensor> {
    let options = ChannelNormOptions {
        weight: weight.get()?.clone(),
        bias: optional(bias)?,
        activation: to_activation("channelNorm", &activation)?,
    };
    handle(operations::channel_norm(cpu(), input.get()?, options))
}

/// Each pixel repeated `factor` times in height and width.
#[napi(catch_unwind)]
pub fn upsample_nearest(input: &NativeTensor, factor: f64) -> Result<NativeTensor> {
    let factor = to_size("upsampleNearest", "factor", factor)?;
    handle(operations::upsample_nearest(cpu(), input.get()?, factor))
}

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
#[napi(catch_unwind)]
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

/// Attention over (B, S, H, D); returns the output and, where asked for, the log-sum-exp.
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
    Ok(std::iter::once(output).chain(log_sum_exp).map(NativeTensor::from).collect())
}
