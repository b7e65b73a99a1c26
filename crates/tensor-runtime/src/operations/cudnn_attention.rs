//! Scaled dot-product attention by cuDNN.

use super::attention::check_inputs;
use super::binary::{BinaryOperation, binary_scalar};
use super::copy::copy;
use crate::device::Device;
use crate::error::{ErrorCode, RuntimeError};
use crate::stream::Stream;
use crate::tensor::Tensor;
use cpu_kernels::{Cpu, DType, TensorMut, TensorRef};
use cuda::cudnn::{ALIGNMENT, HEAD_SIZE_STEP, MAX_HEAD_SIZE};
use cuda_kernels::cudnn_attention::{self as on_gpu, CudnnAttentionArguments};
use cuda_kernels::{DeviceView, Gpu};

const NAME: &str = "cudnnAttention";

/// softmax(scale · query · keyᵀ) · value over (B, S, H, D) on a CUDA device: query (B, Sq, H, D), key
/// and value (B, Sk, H, D), all bfloat16 or float16, D a multiple of 8 up to 128 → (B, Sq, H, D), and
/// where asked for the log-sum-exp of each row, float32 (B, Sq, H).
///
/// A row without keys is zeros, its log-sum-exp minus infinity. How a row's sums are taken is cuDNN's
/// affair and may depend on the number of rows. Refuses other shapes, element types and devices, and a
/// scale that isn't finite; fails where cuDNN isn't there.
pub fn cudnn_attention(
    stream: &Stream,
    query: &Tensor,
    key: &Tensor,
    value: &Tensor,
    scale: f64,
    with_log_sum_exp: bool,
) -> Result<(Tensor, Option<Tensor>), RuntimeError> {
    check_inputs(NAME, query, key, value, scale)?;
    let &[batch, queries, heads, size] = query.shape() else { unreachable!("just checked") };
    if !matches!(query.dtype(), DType::BFloat16 | DType::Float16) {
        return Err(RuntimeError::dtype(NAME, "query", "bfloat16 or float16", query.dtype()));
    }
    if size > MAX_HEAD_SIZE || !size.is_multiple_of(HEAD_SIZE_STEP) {
        let expected = format!("(B, S, H, D), D {HEAD_SIZE_STEP} to {MAX_HEAD_SIZE} by steps of 8");
        return Err(RuntimeError::shape(NAME, "query", expected, query.shape()));
    }
    if query.device() == Device::Cpu {
        let (expected, found) = ("on a CUDA device", "on cpu");
        return Err(RuntimeError::new(ErrorCode::Device, NAME, "query", expected, found));
    }
    // cuDNN says nothing of negative scales, and a way of computing may take it that the greatest score is
    // the greatest before they are scaled. To turn the query's sign instead is exact.
    let (query, scale) = match scale < 0.0 {
        true => (binary_scalar(stream, BinaryOperation::Multiply, query, -1.0)?, -scale),
        false => (query.clone(), scale),
    };
    let inputs = vec![
        in_whole_vectors(stream, &query)?,
        in_whole_vectors(stream, key)?,
        in_whole_vectors(stream, value)?,
    ];
    let cpu = |_: &Cpu<'_>, _: &[TensorRef<'_>], _: &[TensorMut<'_>]| {
        Err(RuntimeError::new(ErrorCode::Internal, NAME, "", "", "computed on the processor"))
    };
    let cuda = move |gpu: &Gpu, inputs: &[DeviceView], outputs: &[DeviceView]| {
        let [query, key, value] = inputs else { unreachable!("three were submitted") };
        let arguments = CudnnAttentionArguments {
            query,
            key,
            value,
            scale: scale as f32,
            output: &outputs[0],
            log_sum_exp: outputs.get(1),
        };
        Ok(on_gpu::cudnn_attention(gpu, &arguments)?)
    };
    let output = (query.dtype(), query.shape().to_vec());
    if with_log_sum_exp {
        let sums = (DType::Float32, vec![batch, queries, heads]);
        let [output, sums] = stream.submit(NAME, inputs, [output, sums], cpu, cuda)?;
        Ok((output, Some(sums)))
    } else {
        let [output] = stream.submit(NAME, inputs, [output], cpu, cuda)?;
        Ok((output, None))
    }
}

/// The tensor, or a contiguous copy where its channels aren't beside each other, rows don't begin on
/// multiples of [`ALIGNMENT`] bytes, or are given once and read several times.
fn in_whole_vectors(stream: &Stream, tensor: &Tensor) -> Result<Tensor, RuntimeError> {
    let step = ALIGNMENT / tensor.dtype().size();
    let (shape, strides) = (tensor.shape(), tensor.strides());
    let last = shape.len() - 1;
    let between = |dim: usize| shape[dim] <= 1 || strides[dim] > 0 && strides[dim] % step == 0;
    let is_beside = shape[last] <= 1 || strides[last] == 1;
    let is_whole = is_beside && tensor.layout.offset.is_multiple_of(step) && (0..last).all(between);
    if is_whole { Ok(tensor.clone()) } else { copy(stream, tensor, tensor.dtype()) }
}
