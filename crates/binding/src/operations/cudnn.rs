//! Attention by cuDNN.

use super::*;

/// The version of the cuDNN at hand; throws where none serves.
#[napi(catch_unwind)]
pub fn cudnn_version() -> Result<String> {
    cpu().cudnn_version("cudnnVersion").map_err(from_runtime)
}

/// Attention over (B, S, H, D) by cuDNN; returns the output and, where asked for, the log-sum-exp.
#[napi(catch_unwind)]
pub fn cudnn_attention(
    query: &NativeTensor,
    key: &NativeTensor,
    value: &NativeTensor,
    scale: f64,
    with_log_sum_exp: bool,
) -> Result<Vec<NativeTensor>> {
    let (output, log_sum_exp) = operations::cudnn_attention(
        cpu(),
        query.get()?,
        key.get()?,
        value.get()?,
        scale,
        with_log_sum_exp,
    )
    .map_err(from_runtime)?;
    Ok(std::iter::once(output).chain(log_sum_exp).map(NativeTensor::from).collect())
}
