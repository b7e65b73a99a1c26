//! Numbers as 8-bit codes of a table, with a scale for each block.

use super::check;
use super::copy::contiguous;
use crate::error::RuntimeError;
use crate::stream::Stream;
use crate::tensor::Tensor;
use cpu_kernels::DType;
use cpu_kernels::quantization::blockwise;
use cuda_kernels::quantization::blockwise as gpu_blockwise;

fn check_table(
    operation: &'static str,
    table: &Tensor,
    block_size: usize,
) -> Result<(), RuntimeError> {
    check::has_dtype(operation, "table", table, DType::Float32)?;
    check::has_shape(operation, "table", table, &[blockwise::TABLE], "one entry for each code")?;
    if block_size == 0 {
        return Err(RuntimeError::argument(operation, "blockSize", "at least 1", block_size));
    }
    Ok(())
}

/// 8-bit codes of a float32 `input` of N elements, in blocks of `block_size` consecutive ones in
/// row-major order, by a `table` (256), float32, that ascends from about -1 to 1 → codes, uint8 of
/// the input's shape, and the greatest magnitude of each block, float32 \[⌈N / block size⌉\]. The
/// bytes are bitsandbytes' own (`quantize_blockwise` on an x86 CPU).
///
/// Refuses other element types, another table and a block of nothing.
pub fn quantize_blockwise(
    stream: &Stream,
    input: &Tensor,
    table: &Tensor,
    block_size: usize,
) -> Result<[Tensor; 2], RuntimeError> {
    const NAME: &str = "quantizeBlockwise";
    check::has_dtype(NAME, "input", input, DType::Float32)?;
    check_table(NAME, table, block_size)?;
    let blocks = input.layout().count().div_ceil(block_size);
    let outputs = [(DType::UInt8, input.shape().to_vec()), (DType::Float32, vec![blocks])];
    let inputs = vec![contiguous(stream, input)?, contiguous(stream, table)?];
    stream.submit(
        NAME,
        inputs,
        outputs,
        move |cpu, inputs, outputs| {
            blockwise::quantize(cpu, &inputs[0], &inputs[1], block_size, &outputs[0], &outputs[1]);
            Ok(())
        },
        move |gpu, inputs, outputs| {
            let ([input, table], [codes, absmax]) = (inputs, outputs) else {
                unreachable!("two inputs and two outputs were submitted")
            };
            Ok(gpu_blockwise::quantize(gpu, input, table, block_size, codes, absmax)?)
        },
    )
}

/// table\[code\] · the scale of the code's block, float32 of the shape of `codes`: what
/// [`quantize_blockwise`] made, as near as it keeps it.
///
/// Refuses other element types, another table, and a number of scales that doesn't fit.
pub fn dequantize_blockwise(
    stream: &Stream,
    codes: &Tensor,
    absmax: &Tensor,
    table: &Tensor,
    block_size: usize,
) -> Result<Tensor, RuntimeError> {
    const NAME: &str = "dequantizeBlockwise";
    check::has_dtype(NAME, "codes", codes, DType::UInt8)?;
    check::has_dtype(NAME, "absmax", absmax, DType::Float32)?;
    check_table(NAME, table, block_size)?;
    let blocks = codes.layout().count().div_ceil(block_size);
    if absmax.layout().count() != blocks {
        let expected = format!("of {blocks} scales, one for each {block_size} codes");
        return Err(RuntimeError::shape(NAME, "absmax", expected, absmax.shape()));
    }
    let inputs =
        vec![contiguous(stream, codes)?, contiguous(stream, absmax)?, contiguous(stream, table)?];
    let output = (DType::Float32, codes.shape().to_vec());
    let [output] = stream.submit(
        NAME,
        inputs,
        [output],
        move |cpu, inputs, outputs| {
            let [codes, absmax, table] = inputs else { unreachable!("three were submitted") };
            blockwise::dequantize(cpu, codes, absmax, table, block_size, &outputs[0]);
            Ok(())
        },
        move |gpu, inputs, outputs| {
            let [codes, absmax, table] = inputs else { unreachable!("three were submitted") };
            Ok(gpu_blockwise::dequantize(gpu, codes, absmax, table, block_size, &outputs[0])?)
        },
    )?;
    Ok(output)
}
