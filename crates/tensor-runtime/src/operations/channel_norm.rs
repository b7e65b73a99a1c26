//! The normalisation of the Wan VAE.

use super::copy::with_whole_rows;
use super::{check, gpu_types::on_gpu};
use crate::error::RuntimeError;
use crate::stream::Stream;
use crate::tensor::Tensor;
use cpu_kernels::linear::Activation;
use cpu_kernels::normalization;
use cuda_kernels::normalization as gpu_normalization;

/// What [`channel_norm`] does after normalising.
#[derive(Clone)]
pub struct ChannelNormOptions {
    /// (C), of the input's element type or float32.
    pub weight: Tensor,
    /// (C), of the input's element type or float32.
    pub bias: Option<Tensor>,
    /// Applied last.
    pub activation: Activation,
}

/// activation(x / max(‖x‖₂, 1e-12) · √C · weight + bias) over the last dimension of `input` (…, C),
/// a float: diffusers' `WanRMS_norm` on channels-last video, with the activation behind it. In
/// float32; 16-bit results are rounded where diffusers' are, after each step.
///
/// Refuses parameters of other shapes or element types.
pub fn channel_norm(
    stream: &Stream,
    input: &Tensor,
    options: ChannelNormOptions,
) -> Result<Tensor, RuntimeError> {
    const NAME: &str = "channelNorm";
    let ChannelNormOptions { weight, bias, activation } = options;
    let channels = check::channels(NAME, input)?;
    check::is_parameter(NAME, "weight", &weight, input, channels)?;
    let mut inputs = vec![with_whole_rows(stream, input)?, weight];
    if let Some(bias) = bias {
        check::is_parameter(NAME, "bias", &bias, input, channels)?;
        inputs.push(bias);
    }
    let output = (input.dtype(), input.shape().to_vec());
    let [output] = stream.submit(
        NAME,
        inputs,
        [output],
        move |cpu, inputs, outputs| {
            let (input, weight, bias) = (&inputs[0], &inputs[1], inputs.get(2));
            normalization::channel_norm(cpu, input, weight, bias, activation, &outputs[0]);
            Ok(())
        },
        move |gpu, inputs, outputs| {
            let (input, weight, bias) = (&inputs[0], &inputs[1], inputs.get(2));
            let activation = on_gpu(activation);
            Ok(gpu_normalization::channel_norm(gpu, input, weight, bias, activation, &outputs[0])?)
        },
    )?;
    Ok(output)
}
