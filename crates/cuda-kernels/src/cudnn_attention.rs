//! Scaled dot-product attention by cuDNN, where it is there.

use crate::movement::{copy, fill};
use crate::{DeviceView, Gpu, Layout};
use cuda::CudaError;
use cuda::cudnn::{AttentionAddresses, AttentionShape, Strides};

/// What [`cudnn_attention`] reads and fills.
pub struct CudnnAttentionArguments<'a> {
    /// (batch, queries, heads, head size), bfloat16 or float16. Pointer and strides are multiples of
    /// [`cuda::cudnn::ALIGNMENT`] bytes, no stride is 0, and the last is 1; so of key and value.
    pub query: &'a DeviceView,
    /// (batch, keys, heads, head size) of the query's type.
    pub key: &'a DeviceView,
    /// (batch, keys, heads, head size) of the query's type.
    pub value: &'a DeviceView,
    /// What scores are multiplied by.
    pub scale: f32,
    /// (batch, queries, heads, head size), contiguous, of the query's type.
    pub output: &'a DeviceView,
    /// float32 (batch, queries, heads): natural logarithm of the sum of the exponentials of the scaled
    /// scores.
    pub log_sum_exp: Option<&'a DeviceView>,
}

/// Fills `output` and `log_sum_exp`. Heads are multiples of 8 up to 128 channels.
///
/// A row without keys is zeros with a log-sum-exp of minus infinity. How sums are taken, and whether a
/// row's bytes depend on the number of rows, is cuDNN's affair.
///
/// # Errors
///
/// `Unsupported` where cuDNN isn't there, or can't compute it on this device; otherwise what the device
/// refuses.
pub fn cudnn_attention(gpu: &Gpu, arguments: &CudnnAttentionArguments) -> Result<(), CudaError> {
    let CudnnAttentionArguments { query, key, value, scale, output, log_sum_exp } = arguments;
    let cudnn = gpu.cudnn()?;
    if output.count() == 0 {
        return Ok(());
    }
    let &[batch, queries, heads, size] = query.shape() else {
        panic!("attention: query has shape {:?}, expected (B, S, H, D)", query.shape());
    };
    let keys = key.shape()[1];
    if keys == 0 {
        fill(gpu, output, 0.0)?;
        return log_sum_exp.map_or(Ok(()), |sums| fill(gpu, sums, f64::NEG_INFINITY));
    }
    // cuDNN's sums lie by heads, ours by rows.
    let bytes = batch * heads * queries * size_of::<f32>();
    let by_heads = log_sum_exp.map(|_| gpu.device().allocate(bytes)).transpose()?;
    let shape = AttentionShape {
        dtype: query.dtype,
        batch,
        queries,
        keys,
        heads,
        size,
        query: strides(query),
        key: strides(key),
        value: strides(value),
        log_sum_exp: by_heads.is_some(),
    };
    let addresses = AttentionAddresses {
        query: query.pointer(),
        key: key.pointer(),
        value: value.pointer(),
        output: output.pointer(),
        log_sum_exp: by_heads.as_ref().map_or(0, |memory| memory.address()),
    };
    // SAFETY: the views' makers promised that the addresses are good, and the shapes are theirs; the sums'
    // memory is as large as they are, and goes back in the stream's order.
    unsafe { cudnn.attention(&shape, &addresses, *scale) }?;
    match (log_sum_exp, &by_heads) {
        (Some(sums), Some(memory)) => {
            let strides = vec![heads * queries, 1, queries];
            let layout = Layout { shape: sums.shape().to_vec(), strides, offset: 0 };
            let by_rows = DeviceView { address: memory.address(), dtype: sums.dtype, layout };
            copy(gpu, &by_rows, sums)
        }
        _ => Ok(()),
    }
}

fn strides(tensor: &DeviceView) -> Strides {
    let &[batch, row, head, _] = tensor.strides() else {
        panic!("attention: a tensor of strides {:?}, expected (B, S, H, D)", tensor.strides());
    };
    Strides { batch, row, head }
}

#[cfg(test)]
#[path = "cudnn_attention_tests.rs"]
mod tests;
