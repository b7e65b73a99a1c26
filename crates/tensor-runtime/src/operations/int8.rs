//! Weights in 8-bit integers.

use super::check;
use super::copy::contiguous;
use crate::error::RuntimeError;
use crate::stream::Stream;
use crate::tensor::Tensor;
use cpu_kernels::DType;
use cpu_kernels::quantization::int8;
use cuda_kernels::quantization::int8 as gpu_int8;

/// 8-bit codes of the rows of a float `input` (N, K) → codes, int8 (N, K), and the greatest
/// magnitude of each row, float32 (N). Elements are rounded to float16 first. The bytes are
/// bitsandbytes' own (`int8_vectorwise_quant` on a CPU).
///
/// Refuses integers and other ranks.
pub fn quantize_int8(stream: &Stream, input: &Tensor) -> Result<[Tensor; 2], RuntimeError> {
    const NAME: &str = "quantizeInt8";
    check::is_float(NAME, "input", input)?;
    check::has_rank(NAME, "input", input, "(N, K)", 2)?;
    let outputs = [(DType::Int8, input.shape().to_vec()), (DType::Float32, vec![input.shape()[0]])];
    let inputs = vec![contiguous(stream, input)?];
    stream.submit(
        NAME,
        inputs,
        outputs,
        |cpu, inputs, outputs| {
            int8::quantize(cpu, &inputs[0], &outputs[0], &outputs[1]);
            Ok(())
        },
        |gpu, inputs, outputs| Ok(gpu_int8::quantize(gpu, &inputs[0], &outputs[0], &outputs[1])?),
    )
}

/// code · scale / 127 in float32 for `codes`, int8 (N, K), and `absmax`, float32 (N) → (N, K),
/// rounded once to the float type `dtype`. The bytes are bitsandbytes' own
/// (`int8_vectorwise_dequant`).
///
/// Refuses other element types, ranks and numbers of scales.
pub fn dequantize_int8(
    stream: &Stream,
    codes: &Tensor,
    absmax: &Tensor,
    dtype: DType,
) -> Result<Tensor, RuntimeError> {
    const NAME: &str = "dequantizeInt8";
    check::has_dtype(NAME, "codes", codes, DType::Int8)?;
    check::has_rank(NAME, "codes", codes, "(N, K)", 2)?;
    check::has_dtype(NAME, "absmax", absmax, DType::Float32)?;
    check::has_shape(NAME, "absmax", absmax, &codes.shape()[..1], "the rows of codes")?;
    if !dtype.is_float() {
        return Err(RuntimeError::dtype(NAME, "dtype", "float32, bfloat16 or float16", dtype));
    }
    let inputs = vec![contiguous(stream, codes)?, contiguous(stream, absmax)?];
    let output = (dtype, codes.shape().to_vec());
    let [output] = stream.submit(
        NAME,
        inputs,
        [output],
        |cpu, inputs, outputs| {
            int8::dequantize(cpu, &inputs[0], &inputs[1], &outputs[0]);
            Ok(())
        },
        |gpu, inputs, outputs| Ok(gpu_int8::dequantize(gpu, &inputs[0], &inputs[1], &outputs[0])?),
    )?;
    Ok(output)
}
