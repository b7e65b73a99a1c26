//! Normalisation, rotary embedding and gating.

use super::*;

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

/// Rotary position embedding of interleaved pairs.
#[napi(catch_unwind)]
pub fn rotary(
    input: &NativeTensor,
    cos: &NativeTensor,
    sin: &NativeTensor,
) -> Result<NativeTensor> {
    handle(operations::rotary(cpu(), input.get()?, cos.get()?, sin.get()?))
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
