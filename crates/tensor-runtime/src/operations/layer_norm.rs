//! Layer normalisation, with the modulation of a diffusion transformer.

use super::check;
use super::copy::{with_rows_of, with_whole_rows};
use crate::error::RuntimeError;
use crate::stream::Stream;
use crate::tensor::Tensor;
use cpu_kernels::{DType, normalization};
use cuda_kernels::normalization as gpu_normalization;

/// What [`layer_norm`] does after normalising.
#[derive(Clone, Default)]
pub struct LayerNormOptions {
    /// (C), of the input's element type or float32.
    pub weight: Option<Tensor>,
    /// (C), of the input's element type or float32.
    pub bias: Option<Tensor>,
    /// float32, repeated to the input's shape: the result is multiplied by 1 + scale.
    pub scale: Option<Tensor>,
    /// float32, repeated to the input's shape, added last.
    pub shift: Option<Tensor>,
    /// Added to the variance; at least 0.
    pub epsilon: f64,
}

/// ((x - mean) / √(variance + ε) · weight + bias) · (1 + scale) + shift over the last dimension of
/// `input` (…, C), a float: wholly in float32 and rounded once, as diffusers' `FP32LayerNorm` and
/// the modulation of `WanTransformerBlock` are.
///
/// Refuses parameters of other shapes or element types, and a negative epsilon.
pub fn layer_norm(
    stream: &Stream,
    input: &Tensor,
    options: LayerNormOptions,
) -> Result<Tensor, RuntimeError> {
    const NAME: &str = "layerNorm";
    check::is_epsilon(NAME, options.epsilon)?;
    let channels = check::channels(NAME, input)?;
    let mut inputs = vec![with_whole_rows(stream, input)?];
    for (argument, tensor) in [("weight", &options.weight), ("bias", &options.bias)] {
        if let Some(tensor) = tensor {
            check::is_parameter(NAME, argument, tensor, input, channels)?;
            inputs.push(tensor.clone());
        }
    }
    for (argument, tensor) in [("scale", &options.scale), ("shift", &options.shift)] {
        if let Some(tensor) = tensor {
            check::has_dtype(NAME, argument, tensor, DType::Float32)?;
            check::broadcasts_to(NAME, argument, tensor, "input", input.shape())?;
            inputs.push(with_rows_of(stream, tensor, channels)?);
        }
    }
    let present = [&options.weight, &options.bias, &options.scale, &options.shift]
        .map(|tensor| tensor.is_some());
    let epsilon = options.epsilon as f32;
    let output = (input.dtype(), input.shape().to_vec());
    let [output] = stream.submit(
        NAME,
        inputs,
        [output],
        move |cpu, inputs, outputs| {
            let [weight, bias, scale, shift] = parameters(present, &inputs[1..]);
            let options = normalization::LayerNorm { weight, bias, scale, shift, epsilon };
            normalization::layer_norm(cpu, &inputs[0], &options, &outputs[0]);
            Ok(())
        },
        move |gpu, inputs, outputs| {
            let [weight, bias, scale, shift] = parameters(present, &inputs[1..]);
            let options = gpu_normalization::LayerNorm { weight, bias, scale, shift, epsilon };
            Ok(gpu_normalization::layer_norm(gpu, &inputs[0], &options, &outputs[0])?)
        },
    )?;
    Ok(output)
}

/// The views of those that are present, in order.
fn parameters<V>(present: [bool; 4], views: &[V]) -> [Option<&V>; 4] {
    let mut views = views.iter();
    present.map(|present| present.then(|| views.next()).flatten())
}
