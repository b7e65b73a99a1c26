//! Weights in 4-bit normal floats.

use super::check;
use super::copy::contiguous;
use crate::error::RuntimeError;
use crate::stream::Stream;
use crate::tensor::{Tensor, element_count};
use cpu_kernels::DType;
use cpu_kernels::quantization::nf4;
use cuda_kernels::quantization::nf4 as gpu_nf4;

/// The sizes of block that bitsandbytes has, and the least that its rows are cut into.
const BLOCK_SIZES: [usize; 9] = [16, 32, 64, 128, 256, 512, 1024, 2048, 4096];

fn is_block_size(operation: &'static str, block_size: usize) -> Result<(), RuntimeError> {
    if BLOCK_SIZES.contains(&block_size) {
        return Ok(());
    }
    let expected = BLOCK_SIZES.map(|size| size.to_string()).join(", ");
    Err(RuntimeError::argument(operation, "blockSize", expected, block_size))
}

/// 4-bit codes of a float `input` of N elements, in blocks of `block_size` consecutive ones in
/// row-major order → packed codes, uint8 \[⌈N / 2⌉, 1\] with the element of even index in the high
/// half of a byte, and the greatest magnitude of each block, float32 \[⌈N / block size⌉\]. The
/// bytes are bitsandbytes' own (`quantize_4bit` on a CPU).
///
/// Refuses integers and other block sizes.
pub fn quantize_nf4(
    stream: &Stream,
    input: &Tensor,
    block_size: usize,
) -> Result<[Tensor; 2], RuntimeError> {
    const NAME: &str = "quantizeNf4";
    check::is_float(NAME, "input", input)?;
    is_block_size(NAME, block_size)?;
    let count = input.layout().count();
    let outputs = [
        (DType::UInt8, vec![nf4::packed_bytes(count), 1]),
        (DType::Float32, vec![count.div_ceil(block_size)]),
    ];
    let inputs = vec![contiguous(stream, input)?];
    stream.submit(
        NAME,
        inputs,
        outputs,
        move |cpu, inputs, outputs| {
            nf4::quantize(cpu, &inputs[0], block_size, &outputs[0], &outputs[1]);
            Ok(())
        },
        move |gpu, inputs, outputs| {
            Ok(gpu_nf4::quantize(gpu, &inputs[0], block_size, &outputs[0], &outputs[1])?)
        },
    )
}

/// A tensor of `shape` and the float type `dtype` from what [`quantize_nf4`] made: code value ·
/// scale in float32, rounded once. `packed` may have any shape of as many bytes.
///
/// Refuses counts that don't fit, other element types and other block sizes.
pub fn dequantize_nf4(
    stream: &Stream,
    packed: &Tensor,
    absmax: &Tensor,
    shape: &[usize],
    block_size: usize,
    dtype: DType,
) -> Result<Tensor, RuntimeError> {
    const NAME: &str = "dequantizeNf4";
    check::has_dtype(NAME, "packed", packed, DType::UInt8)?;
    check::has_dtype(NAME, "absmax", absmax, DType::Float32)?;
    is_block_size(NAME, block_size)?;
    if !dtype.is_float() {
        return Err(RuntimeError::dtype(NAME, "dtype", "float32, bfloat16 or float16", dtype));
    }
    let count = element_count(NAME, shape)?;
    let bytes = nf4::packed_bytes(count);
    if packed.layout().count() != bytes {
        let expected = format!("of {bytes} bytes, two elements of {shape:?} each");
        return Err(RuntimeError::shape(NAME, "packed", expected, packed.shape()));
    }
    let blocks = count.div_ceil(block_size);
    if absmax.layout().count() != blocks {
        let expected = format!("of {blocks} scales, one for each {block_size} of {shape:?}");
        return Err(RuntimeError::shape(NAME, "absmax", expected, absmax.shape()));
    }
    let inputs = vec![contiguous(stream, packed)?, contiguous(stream, absmax)?];
    let output = (dtype, shape.to_vec());
    let [output] = stream.submit(
        NAME,
        inputs,
        [output],
        move |cpu, inputs, outputs| {
            nf4::dequantize(cpu, &inputs[0], &inputs[1], block_size, &outputs[0]);
            Ok(())
        },
        move |gpu, inputs, outputs| {
            Ok(gpu_nf4::dequantize(gpu, &inputs[0], &inputs[1], block_size, &outputs[0])?)
        },
    )?;
    Ok(output)
}
