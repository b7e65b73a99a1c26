//! Scaled dot-product attention.

use super::check;
use super::copy::with_whole_rows;
use crate::error::RuntimeError;
use crate::stream::Stream;
use crate::tensor::Tensor;
use cpu_kernels::attention::{self, AttentionArguments, MAX_HEAD_SIZE};
use cpu_kernels::{Cpu, DType, TensorMut, TensorRef};
use cuda::CudaError;
use cuda_kernels::{DeviceView, Gpu, attention as gpu_attention};

const NAME: &str = "attention";

/// The logarithm of the sum of the exponentials of each row's scores, in two numbers.
pub struct LogSumExp {
    /// float32 (B, Sq, H), rounded to nearest.
    pub rounded: Tensor,
    /// float32 (B, Sq, H): what the rounding took away; 0 where `rounded` isn't finite.
    pub residue: Tensor,
}

/// softmax(scale · query · keyᵀ + mask) · value over (B, S, H, D): query (B, Sq, H, D), key and
/// value (B, Sk, H, D), all of one float type, D from 1 to 1024 → (B, Sq, H, D).
///
/// `mask` is float32, repeats to (B, H, Sq, Sk) and is added to the scaled scores. Returns the
/// log-sum-exp of each row too where asked for. A row that the mask hides
/// wholly, or that has no keys, is zeros, its log-sum-exp minus infinity. A row's bytes are the same
/// whatever the number of rows, heads and threads. Refuses other shapes and element types, and a
/// scale that isn't finite.
pub fn attention(
    stream: &Stream,
    query: &Tensor,
    key: &Tensor,
    value: &Tensor,
    mask: Option<&Tensor>,
    scale: f64,
    with_log_sum_exp: bool,
) -> Result<(Tensor, Option<LogSumExp>), RuntimeError> {
    check_inputs(NAME, query, key, value, scale)?;
    let &[batch, queries, heads, _] = query.shape() else { unreachable!("just checked") };
    let keys = key.shape()[1];
    let mut inputs = vec![
        with_whole_rows(stream, query)?,
        with_whole_rows(stream, key)?,
        with_whole_rows(stream, value)?,
    ];
    if let Some(mask) = mask {
        let whole = [batch, heads, queries, keys];
        check::has_dtype(NAME, "mask", mask, DType::Float32)?;
        check::broadcasts_to(NAME, "mask", mask, "the scores (B, H, Sq, Sk)", &whole)?;
        inputs.push(with_whole_rows(stream, mask)?.expanded(&whole)?);
    }
    let cpu = move |cpu: &Cpu<'_>, inputs: &[TensorRef<'_>], outputs: &[TensorMut<'_>]| {
        run(cpu, inputs, outputs, scale as f32);
        Ok(())
    };
    let cuda = move |gpu: &Gpu, inputs: &[DeviceView], outputs: &[DeviceView]| {
        Ok(run_on_gpu(gpu, inputs, outputs, scale as f32)?)
    };
    let output = (query.dtype(), query.shape().to_vec());
    if with_log_sum_exp {
        let sums = (DType::Float32, vec![batch, queries, heads]);
        let outputs = [output, sums.clone(), sums];
        let [output, rounded, residue] = stream.submit(NAME, inputs, outputs, cpu, cuda)?;
        Ok((output, Some(LogSumExp { rounded, residue })))
    } else {
        let [output] = stream.submit(NAME, inputs, [output], cpu, cuda)?;
        Ok((output, None))
    }
}

/// Refuses what isn't a query (B, Sq, H, D), a key and a value (B, Sk, H, D) of one float type, and a
/// finite scale.
pub(super) fn check_inputs(
    operation: &'static str,
    query: &Tensor,
    key: &Tensor,
    value: &Tensor,
    scale: f64,
) -> Result<(), RuntimeError> {
    check::is_float(operation, "query", query)?;
    let &[batch, _, heads, size] = query.shape() else {
        return Err(RuntimeError::shape(operation, "query", "(B, S, H, D)", query.shape()));
    };
    if !(1..=MAX_HEAD_SIZE).contains(&size) {
        let expected = format!("(B, S, H, D), D from 1 to {MAX_HEAD_SIZE}");
        return Err(RuntimeError::shape(operation, "query", expected, query.shape()));
    }
    let keys = key.shape().get(1).copied().unwrap_or_default();
    let expected = [batch, keys, heads, size];
    for (argument, tensor) in [("key", key), ("value", value)] {
        check::has_dtype_of(operation, argument, tensor, "query", query)?;
        let reason = format!("(B, Sk, H, D) with query {:?}", query.shape());
        check::has_shape(operation, argument, tensor, &expected, &reason)?;
    }
    if !scale.is_finite() {
        return Err(RuntimeError::argument(operation, "scale", "a finite number", scale));
    }
    Ok(())
}

fn run(cpu: &Cpu, inputs: &[TensorRef], outputs: &[TensorMut], scale: f32) {
    let arguments = AttentionArguments {
        query: inputs[0].clone(),
        key: inputs[1].clone(),
        value: inputs[2].clone(),
        mask: inputs.get(3).cloned(),
        scale,
        output: handed_over(&outputs[0]),
        log_sum_exp: match outputs {
            [_, rounded, residue] => Some(attention::LogSumExp {
                rounded: handed_over(rounded),
                residue: handed_over(residue),
            }),
            _ => None,
        },
    };
    attention::attention(cpu, &arguments);
}

fn run_on_gpu(
    gpu: &Gpu,
    inputs: &[DeviceView],
    outputs: &[DeviceView],
    scale: f32,
) -> Result<(), CudaError> {
    let [query, key, value, ..] = inputs else { unreachable!("three at least were submitted") };
    let log_sum_exp = match outputs {
        [_, rounded, residue] => Some(gpu_attention::LogSumExp { rounded, residue }),
        _ => None,
    };
    gpu_attention::attention(
        gpu,
        &gpu_attention::AttentionArguments {
            query,
            key,
            value,
            mask: inputs.get(3),
            scale,
            output: &outputs[0],
            log_sum_exp,
        },
    )
}

/// The view again, for arguments that own theirs.
pub(super) fn handed_over<'a>(output: &'a TensorMut<'_>) -> TensorMut<'a> {
    let data = match output.dtype.size() {
        2 => output.as_mut_ptr::<u16>().cast(),
        _ => output.as_mut_ptr::<f32>().cast(),
    };
    // SAFETY: the same memory and layout; nothing touches the first view while this one lives.
    unsafe { TensorMut::new(data, output.dtype, output.shape()) }
}
