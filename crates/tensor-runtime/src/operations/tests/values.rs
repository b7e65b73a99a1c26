//! Tensors of known values, in many layouts, and what comes out of them.

use crate::operations::{copy, fill};
use crate::{DType, ErrorCode, InstructionSet, RuntimeError, Storage, Stream, Tensor};
use cpu_kernels::float::{bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16};

pub const FLOATS: [DType; 3] = [DType::Float32, DType::BFloat16, DType::Float16];

/// Half the distance between 1 and the next number: the greatest relative error of one rounding.
pub fn unit_roundoff(dtype: DType) -> f64 {
    match dtype {
        DType::Float32 => 2f64.powi(-24),
        DType::BFloat16 => 2f64.powi(-8),
        DType::Float16 => 2f64.powi(-11),
        _ => 0.0,
    }
}

/// The nearest value of a float type.
pub fn round(dtype: DType, value: f32) -> f32 {
    match dtype {
        DType::BFloat16 => bf16_to_f32(f32_to_bf16(value)),
        DType::Float16 => f16_to_f32(f32_to_f16(value)),
        _ => value,
    }
}

/// A contiguous tensor of these values.
pub fn tensor(dtype: DType, shape: &[usize], values: &[f64]) -> Tensor {
    let bytes: Vec<u8> = values
        .iter()
        .flat_map(|&value| match dtype {
            DType::Float32 => (value as f32).to_le_bytes().to_vec(),
            DType::BFloat16 => f32_to_bf16(value as f32).to_le_bytes().to_vec(),
            DType::Float16 => f32_to_f16(value as f32).to_le_bytes().to_vec(),
            DType::Int32 => (value as i32).to_le_bytes().to_vec(),
            DType::Int64 => (value as i64).to_le_bytes().to_vec(),
            DType::Int8 => (value as i8).to_le_bytes().to_vec(),
            DType::UInt8 => vec![value as u8],
        })
        .collect();
    Tensor::new(Storage::copied(&bytes).unwrap(), dtype, shape).unwrap()
}

/// What a tensor holds, in row-major order.
pub fn values(stream: &Stream, tensor: &Tensor) -> Vec<f64> {
    let bytes = stream.read_blocking(tensor.clone()).unwrap();
    let two = |bytes: &[u8]| u16::from_le_bytes(bytes.try_into().unwrap());
    let element = |bytes: &[u8]| match tensor.dtype() {
        DType::Float32 => f64::from(f32::from_le_bytes(bytes.try_into().unwrap())),
        DType::BFloat16 => f64::from(bf16_to_f32(two(bytes))),
        DType::Float16 => f64::from(f16_to_f32(two(bytes))),
        DType::Int32 => f64::from(i32::from_le_bytes(bytes.try_into().unwrap())),
        DType::Int64 => i64::from_le_bytes(bytes.try_into().unwrap()) as f64,
        DType::Int8 => f64::from(bytes[0] as i8),
        DType::UInt8 => f64::from(bytes[0]),
    };
    bytes.chunks_exact(tensor.dtype().size()).map(element).collect()
}

/// `count` numbers spread over ± `reach`, the same for the same seed.
pub fn noise(seed: u64, count: usize, reach: f64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    };
    (0..count).map(|_| next() * reach).collect()
}

/// A tensor of noise, and its values as its element type holds them.
pub fn random(dtype: DType, shape: &[usize], seed: u64, reach: f64) -> (Tensor, Vec<f64>) {
    let values = noise(seed, shape.iter().product(), reach);
    let held = values.iter().map(|&value| f64::from(round(dtype, value as f32))).collect();
    (tensor(dtype, shape, &values), held)
}

/// Tensors of the same values as `original` in other layouts: dimensions stored the other way
/// round, a part of a larger tensor, and rows with gaps.
pub fn layouts(stream: &Stream, original: &Tensor) -> Vec<Tensor> {
    let rank = original.shape().len();
    let reversed: Vec<usize> = (0..rank).rev().collect();
    let turned = copy(stream, &original.permuted(&reversed).unwrap(), original.dtype()).unwrap();
    let mut views = vec![turned.permuted(&reversed).unwrap()];
    for dim in [0, rank.saturating_sub(1)] {
        if dim < rank {
            let mut shape = original.shape().to_vec();
            shape[dim] = 3;
            let margin = fill(stream, original.dtype(), &shape, 77.0).unwrap();
            let parts = [margin.clone(), original.clone(), margin];
            let whole = crate::operations::concatenate(stream, &parts, dim).unwrap();
            views.push(whole.sliced(dim, 3, 3 + original.shape()[dim]).unwrap());
        }
    }
    views
}

/// Streams of every instruction set that this machine has, with 1 and 3 threads.
pub fn streams() -> Vec<Stream> {
    let sets = InstructionSet::available();
    sets.into_iter().flat_map(|set| [1, 3].map(|threads| Stream::new(threads, set))).collect()
}

/// The bytes of `compute`'s result, which must be the same on every stream.
pub fn same_everywhere(compute: impl Fn(&Stream) -> Tensor) -> Vec<u8> {
    let mut first: Option<Vec<u8>> = None;
    for stream in streams() {
        let bytes = stream.read_blocking(compute(&stream)).unwrap();
        match &first {
            Some(first) => assert!(
                *first == bytes,
                "{} with {} threads differs",
                stream.instruction_set().name(),
                stream.threads()
            ),
            None => first = Some(bytes),
        }
    }
    first.unwrap()
}

/// Asserts that each value is the expected one after one rounding to `dtype`, with a relative
/// error of `slack` float32 roundings of `scale` before it.
pub fn assert_rounded(dtype: DType, found: &[f64], expected: &[f64], slack: f64, scale: f64) {
    assert_eq!(found.len(), expected.len());
    // Below its normal numbers float16 has a fixed step.
    let step = if dtype == DType::Float16 { 2f64.powi(-25) } else { 0.0 };
    for (place, (found, expected)) in found.iter().zip(expected).enumerate() {
        let before = slack * unit_roundoff(DType::Float32) * scale.max(expected.abs());
        let bound = before + unit_roundoff(dtype) * (expected.abs() + before) + step;
        let error = (found - expected).abs();
        assert!(error <= bound, "{}[{place}] is {found}, not {expected}", dtype.name());
    }
}

/// The error of an operation that must refuse its arguments.
pub fn refusal<T>(result: Result<T, RuntimeError>) -> RuntimeError {
    result.err().expect("the operation refuses")
}

/// Asserts the kind, operation and argument of a refusal.
pub fn assert_refused<T>(
    result: Result<T, RuntimeError>,
    code: ErrorCode,
    operation: &str,
    argument: &str,
) {
    let error = refusal(result);
    assert_eq!((error.code, error.operation, &error.argument[..]), (code, operation, argument));
}
