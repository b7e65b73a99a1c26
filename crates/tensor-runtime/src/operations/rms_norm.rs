//! Root-mean-square normalisation (Zhang and Sennrich 2019).

use super::check;
use super::copy::with_whole_rows;
use crate::error::RuntimeError;
use crate::stream::Stream;
use crate::tensor::Tensor;
use cpu_kernels::normalization;
use cuda_kernels::normalization as gpu_normalization;

/// Settings of [`rms_norm`].
#[derive(Clone, Default)]
pub struct RmsNormOptions {
    /// (C), of the input's element type or float32.
    pub weight: Option<Tensor>,
    /// Added to the mean square; at least 0.
    pub epsilon: f64,
    /// Round to the input's element type before multiplying by the weight too, as transformers'
    /// `T5LayerNorm` does; `torch.nn.RMSNorm` doesn't.
    pub round_before_weight: bool,
}

/// x / √(mean(x²) + ε) · weight over the last dimension of `input` (…, C), a float: in float32,
/// rounded to the input's element type.
///
/// Refuses a weight of another shape or element type, and a negative epsilon.
pub fn rms_norm(
    stream: &Stream,
    input: &Tensor,
    options: RmsNormOptions,
) -> Result<Tensor, RuntimeError> {
    const NAME: &str = "rmsNorm";
    let RmsNormOptions { weight, epsilon, round_before_weight } = options;
    check::is_epsilon(NAME, epsilon)?;
    let channels = check::channels(NAME, input)?;
    let mut inputs = vec![with_whole_rows(stream, input)?];
    if let Some(weight) = weight {
        check::is_parameter(NAME, "weight", &weight, input, channels)?;
        inputs.push(weight);
    }
    let epsilon = epsilon as f32;
    let output = (input.dtype(), input.shape().to_vec());
    let [output] = stream.submit(
        NAME,
        inputs,
        [output],
        move |cpu, inputs, outputs| {
            let (input, weight) = (&inputs[0], inputs.get(1));
            normalization::rms_norm(cpu, input, weight, epsilon, round_before_weight, &outputs[0]);
            Ok(())
        },
        move |gpu, inputs, outputs| {
            let (input, weight, output) = (&inputs[0], inputs.get(1), &outputs[0]);
            let rounded = round_before_weight;
            Ok(gpu_normalization::rms_norm(gpu, input, weight, epsilon, rounded, output)?)
        },
    )?;
    Ok(output)
}
