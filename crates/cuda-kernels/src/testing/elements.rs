//! Tensors of any element type, and what both sides make of them.

use super::{HostTensor, POISON, decoded, encoded, on_cpu, random};
use crate::{DType, DeviceView, Gpu, Layout};
use cpu_kernels::{Cpu, TensorMut};
use cuda::CudaError;

impl HostTensor {
    /// A tensor whose storage's n-th element is `value(n)`, rounded to the type.
    pub fn with(dtype: DType, layout: Layout, value: impl Fn(usize) -> f32) -> HostTensor {
        let elements = (0..layout.end()).flat_map(|place| {
            let value = value(place);
            match dtype {
                DType::Int32 => (value as i32).to_ne_bytes().to_vec(),
                DType::Int64 => (value as i64).to_ne_bytes().to_vec(),
                DType::Int8 => (value as i8).to_ne_bytes().to_vec(),
                DType::UInt8 => vec![value as u8],
                float => encoded(float, value),
            }
        });
        HostTensor::from_bytes(dtype, layout, &elements.collect::<Vec<u8>>())
    }

    /// A tensor with that storage.
    pub fn from_bytes(dtype: DType, layout: Layout, storage: &[u8]) -> HostTensor {
        assert!(layout.end() * dtype.size() <= storage.len());
        // An address for elements of any size, were there none.
        let mut bytes = Vec::with_capacity(storage.len().max(1));
        bytes.extend_from_slice(storage);
        HostTensor { dtype, layout, bytes }
    }
}

/// A tensor of numbers in (-1, 1), or for integers all over the bytes' range; the same for the same
/// seed.
pub(crate) fn numbers(dtype: DType, layout: Layout, seed: u64) -> HostTensor {
    let values = random(layout.end(), seed);
    let most = if dtype.is_float() { 1.0 } else { 127.0 };
    let least = if dtype == DType::UInt8 { 127.0 } else { 0.0 };
    HostTensor::with(dtype, layout, |place| values[place] * most + least)
}

/// A tensor of [`numbers`], and of such as arithmetic treats apart.
pub(crate) fn special(dtype: DType, layout: Layout, seed: u64) -> HostTensor {
    const APART: [f32; 8] =
        [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 1e-40, 3e38, 100.0];
    let values = random(layout.end(), seed);
    let most = if dtype.is_float() { 2.0 } else { 127.0 };
    HostTensor::with(dtype, layout, |place| match place % 5 == seed as usize % 5 {
        true => APART[(place / 5 + seed as usize) % APART.len()],
        false => values[place] * most,
    })
}

/// The bytes of contiguous outputs that the device fills.
///
/// # Panics
/// Where it writes beside them.
pub(crate) fn outputs<const N: usize>(
    gpu: &Gpu,
    kinds: [(DType, &[usize]); N],
    body: impl FnOnce([&DeviceView; N]) -> Result<(), CudaError>,
) -> [Vec<u8>; N] {
    let tensors = kinds.map(|(dtype, shape)| HostTensor::unwritten(dtype, shape).on(gpu));
    body(tensors.each_ref().map(|tensor| &tensor.view)).unwrap();
    tensors.each_ref().map(|tensor| tensor.back().bytes)
}

/// The bytes of contiguous outputs that the processor fills.
pub(crate) fn expected<const N: usize>(
    kinds: [(DType, &[usize]); N],
    body: impl FnOnce(&Cpu, [TensorMut; N]),
) -> [Vec<u8>; N] {
    let mut storages = kinds.map(|(dtype, shape)| {
        let bytes = shape.iter().product::<usize>() * dtype.size();
        HostTensor::from_bytes(dtype, Layout::contiguous(shape), &vec![POISON; bytes])
    });
    on_cpu(|cpu| body(cpu, storages.each_mut().map(HostTensor::host_mut)));
    storages.map(|tensor| tensor.bytes)
}

/// Refuses other bytes than those expected, but for the bits of a NaN.
pub(crate) fn assert_same(dtype: DType, found: &[u8], expected: &[u8], case: &str) {
    if found == expected {
        return;
    }
    let size = dtype.size();
    assert_eq!(found.len(), expected.len(), "{case}");
    for (place, (found, expected)) in found.chunks(size).zip(expected.chunks(size)).enumerate() {
        let nan = |bytes| dtype.is_float() && decoded(dtype, bytes).is_nan();
        assert!(
            found == expected || nan(found) && nan(expected),
            "{case}: element {place} is {found:?}, expected {expected:?}"
        );
    }
}

/// The layout of a contiguous tensor of `shape` with its dimensions in another order.
pub(crate) fn permuted(shape: &[usize], order: &[usize]) -> Layout {
    let contiguous = Layout::contiguous(shape);
    let pick = |values: &[usize]| order.iter().map(|&dim| values[dim]).collect();
    Layout { shape: pick(&contiguous.shape), strides: pick(&contiguous.strides), offset: 0 }
}

/// Layouts of every kind: whole, empty, of one element, with an offset and gaps, repeated, turned,
/// and of more dimensions than a launch counts.
pub(crate) fn layouts() -> Vec<Layout> {
    let strided = |shape: &[usize], strides: &[usize], offset| Layout {
        shape: shape.to_vec(),
        strides: strides.to_vec(),
        offset,
    };
    vec![
        Layout::contiguous(&[]),
        Layout::contiguous(&[0, 3]),
        Layout::contiguous(&[5, 67]),
        strided(&[1, 1], &[9, 7], 4),
        strided(&[70], &[3], 1),
        strided(&[9, 33], &[40, 1], 5),
        strided(&[4, 5, 6], &[0, 6, 1], 0),
        strided(&[6, 7], &[1, 0], 2),
        permuted(&[3, 5, 2, 4], &[3, 1, 0, 2]),
        permuted(&[2, 3, 2, 1, 3, 2, 2, 3], &[7, 0, 5, 3, 2, 6, 1, 4]),
    ]
}
