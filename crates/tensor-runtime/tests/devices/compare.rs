//! The same tensors and operations on two devices, compared.

use cpu_kernels::float::{bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16};
use tensor_runtime::{DType, Device, RuntimeError, Storage, Stream, Tensor, operations};

pub const FLOATS: [DType; 3] = [DType::Float32, DType::BFloat16, DType::Float16];

/// How a tensor lies in its storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Row-major, alone.
    Plain,
    /// Dimensions stored the other way round.
    Turned,
    /// The middle of rows that are longer by an odd number of elements.
    Part,
}

pub const LIES: [Lie; 3] = [Lie::Plain, Lie::Turned, Lie::Part];

/// A tensor on the processor and the same one on the device.
#[derive(Clone)]
pub struct Pair {
    pub here: Tensor,
    pub there: Tensor,
}

/// A stream, and the device beside its processor.
pub struct Both {
    pub stream: &'static Stream,
    pub device: Device,
}

/// How far apart results may be.
#[derive(Clone, Copy, Debug)]
pub enum Distance {
    /// Not at all: nothing is rounded, or both round the same.
    Same,
    /// One rounding of the result's type more, and so many float32 roundings of the greatest magnitude.
    Rounded(f64),
}

impl Both {
    /// Uniform numbers within ± `reach`, as the element type holds them.
    pub fn random(&self, dtype: DType, shape: &[usize], reach: f64, lie: Lie) -> Pair {
        let seed = shape.iter().fold(shape.len(), |seed, size| seed.wrapping_mul(31) + size);
        let count = |shape: &[usize]| shape.iter().product();
        self.laid(dtype, shape, lie, |shape| noise(seed as u64 + 1, count(shape), reach))
    }

    /// These numbers, row-major.
    pub fn of(&self, dtype: DType, shape: &[usize], values: &[f64]) -> Pair {
        let here = tensor(dtype, shape, values);
        let there = operations::to_device(self.stream, &here, self.device).unwrap();
        Pair { here, there }
    }

    fn laid(
        &self,
        dtype: DType,
        shape: &[usize],
        lie: Lie,
        values: impl Fn(&[usize]) -> Vec<f64>,
    ) -> Pair {
        let reversed: Vec<usize> = (0..shape.len()).rev().collect();
        let base: Vec<usize> = match lie {
            Lie::Plain => shape.to_vec(),
            Lie::Turned => shape.iter().rev().copied().collect(),
            Lie::Part => shape.iter().map(|size| size + 5).collect(),
        };
        let Pair { here, there } = self.of(dtype, &base, &values(&base));
        let view = |tensor: Tensor| match lie {
            Lie::Plain => tensor,
            Lie::Turned => tensor.permuted(&reversed).unwrap(),
            Lie::Part => shape
                .iter()
                .enumerate()
                .fold(tensor, |tensor, (dim, size)| tensor.sliced(dim, 3, 3 + size).unwrap()),
        };
        Pair { here: view(here), there: view(there) }
    }

    /// Computes on both and compares all outputs.
    pub fn agree(
        &self,
        what: &str,
        distance: Distance,
        inputs: &[&Pair],
        compute: impl Fn(&Stream, &[Tensor]) -> Result<Vec<Tensor>, RuntimeError>,
    ) {
        let here: Vec<Tensor> = inputs.iter().map(|pair| pair.here.clone()).collect();
        let there: Vec<Tensor> = inputs.iter().map(|pair| pair.there.clone()).collect();
        let expected = compute(self.stream, &here).unwrap();
        let found = compute(self.stream, &there).unwrap();
        assert_eq!(found.len(), expected.len(), "{what}");
        for (output, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let what = format!("{what}, output {output} of {:?}", expected.dtype());
            assert_eq!(found.device(), self.device, "{what}");
            assert_eq!(found.dtype(), expected.dtype(), "{what}");
            assert_eq!(found.shape(), expected.shape(), "{what}");
            let read = |tensor: &Tensor| self.stream.read_blocking(tensor.clone());
            let found = read(found).unwrap_or_else(|error| panic!("{what}: {error}"));
            let bytes = read(expected).unwrap_or_else(|error| panic!("{what}: {error}"));
            match distance {
                Distance::Same => {
                    assert!(found == bytes, "{what}: {}", first_other(expected, &found, &bytes))
                }
                Distance::Rounded(roundings) => {
                    near(&what, expected.dtype(), &found, &bytes, roundings)
                }
            }
        }
    }
}

fn first_other(tensor: &Tensor, found: &[u8], expected: &[u8]) -> String {
    let (found, expected) = (decoded(tensor.dtype(), found), decoded(tensor.dtype(), expected));
    let at = found.iter().zip(&expected).position(|(a, b)| a.to_bits() != b.to_bits());
    at.map_or_else(
        || "lengths differ".into(),
        |at| format!("element {at} is {}, not {}", found[at], expected[at]),
    )
}

fn near(what: &str, dtype: DType, found: &[u8], expected: &[u8], roundings: f64) {
    let (found, expected) = (decoded(dtype, found), decoded(dtype, expected));
    let finite = expected.iter().filter(|value| value.is_finite());
    let greatest = finite.fold(0.0f64, |greatest, value| greatest.max(value.abs()));
    let unit = match dtype {
        DType::BFloat16 => 2f64.powi(-8),
        DType::Float16 => 2f64.powi(-11),
        _ => 2f64.powi(-24),
    };
    // Below its normal numbers float16 has a fixed step.
    let step = if dtype == DType::Float16 { 2f64.powi(-24) } else { 0.0 };
    for (place, (found, expected)) in found.iter().zip(&expected).enumerate() {
        if !expected.is_finite() {
            let same = found == expected || (found.is_nan() && expected.is_nan());
            assert!(same, "{what}: element {place} is {found}, not {expected}");
            continue;
        }
        let bound = 2.0 * unit * expected.abs() + roundings * 2f64.powi(-24) * greatest + step;
        let error = (found - expected).abs();
        assert!(
            error <= bound,
            "{what}: element {place} is {found}, not {expected} within {bound:e}"
        );
    }
}

/// Uniform numbers within ± `reach`, the same for the same seed.
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

fn tensor(dtype: DType, shape: &[usize], values: &[f64]) -> Tensor {
    let element = |value: f64| match dtype {
        DType::Float32 => (value as f32).to_le_bytes().to_vec(),
        DType::BFloat16 => f32_to_bf16(value as f32).to_le_bytes().to_vec(),
        DType::Float16 => f32_to_f16(value as f32).to_le_bytes().to_vec(),
        DType::Int32 => (value as i32).to_le_bytes().to_vec(),
        DType::Int64 => (value as i64).to_le_bytes().to_vec(),
        DType::Int8 => (value as i8).to_le_bytes().to_vec(),
        DType::UInt8 => vec![value as u8],
    };
    let bytes: Vec<u8> = values.iter().flat_map(|&value| element(value)).collect();
    Tensor::new(Storage::copied(&bytes).unwrap(), dtype, shape).unwrap()
}

fn decoded(dtype: DType, bytes: &[u8]) -> Vec<f64> {
    let two = |bytes: &[u8]| u16::from_le_bytes(bytes.try_into().unwrap());
    let element = |bytes: &[u8]| match dtype {
        DType::Float32 => f64::from(f32::from_le_bytes(bytes.try_into().unwrap())),
        DType::BFloat16 => f64::from(bf16_to_f32(two(bytes))),
        DType::Float16 => f64::from(f16_to_f32(two(bytes))),
        DType::Int32 => f64::from(i32::from_le_bytes(bytes.try_into().unwrap())),
        DType::Int64 => i64::from_le_bytes(bytes.try_into().unwrap()) as f64,
        DType::Int8 => f64::from(bytes[0] as i8),
        DType::UInt8 => f64::from(bytes[0]),
    };
    bytes.chunks_exact(dtype.size()).map(element).collect()
}
