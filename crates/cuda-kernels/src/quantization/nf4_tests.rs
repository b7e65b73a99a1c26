//! 4-bit normal floats against the CPU's, byte for byte.

use super::*;
use crate::testing::{FLOATS, HostTensor, gpu, on_cpu};
use crate::{DType, Layout};
use cpu_kernels::quantization::nf4 as cpu;

/// Numbers of elements and sizes of blocks.
const CASES: [(usize, usize); 6] =
    [(1, 16), (129, 16), (1000, 32), (2048, 64), (4321, 64), (9000, 4096)];

/// Elements with zeros, an infinity, a NaN and very small ones among them where they fit in.
fn values_of(dtype: DType, count: usize) -> HostTensor {
    let mut values = HostTensor::random(dtype, &[count], 1);
    for place in 0..count {
        match place {
            64..128 => values.set(place, 0.0),
            200 => values.set(place, f32::INFINITY),
            300 => values.set(place, f32::NAN),
            // Subnormal in each type, or 0.
            384..448 => values.set(place, place as f32 * 1e-42),
            _ => {}
        }
    }
    values
}

fn unwritten(count: usize, block_size: usize) -> [HostTensor; 2] {
    [
        HostTensor::unwritten(DType::UInt8, &[packed_bytes(count), 1]),
        HostTensor::unwritten(DType::Float32, &[count.div_ceil(block_size)]),
    ]
}

fn quantized_on_host(values: &HostTensor, block_size: usize) -> [HostTensor; 2] {
    let [mut packed, mut absmax] = unwritten(values.layout.count(), block_size);
    on_cpu(|on| {
        cpu::quantize(on, &values.host(), block_size, &packed.host_mut(), &absmax.host_mut());
    });
    [packed, absmax]
}

/// NaN has many bit patterns; equal scales are equal numbers or both NaN.
fn assert_same_scales(found: &HostTensor, expected: &HostTensor, what: &str) {
    for (found, expected) in found.floats().into_iter().zip(expected.floats()) {
        let same = found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan();
        assert!(same, "{what}: {found} is not {expected}");
    }
}

#[test]
fn codes_and_scales_are_the_cpus() {
    let gpu = gpu();
    for dtype in FLOATS {
        for (count, block_size) in CASES {
            let values = values_of(dtype, count);
            let [packed, absmax] = unwritten(count, block_size).map(|tensor| tensor.on(&gpu));
            let input = values.on(&gpu);
            quantize(&gpu, &input.view, block_size, &packed.view, &absmax.view).unwrap();
            let expected = quantized_on_host(&values, block_size);
            let what = format!("{dtype:?} {count} by {block_size}");
            assert_eq!(packed.back().bytes(), expected[0].bytes(), "{what}");
            assert_same_scales(&absmax.back(), &expected[1], &what);
        }
    }
}

#[test]
fn halfway_goes_down() {
    let gpu = gpu();
    let mut values = HostTensor::new(DType::Float32, &[0.0; 64], Layout::contiguous(&[64]));
    values.set(0, 1.0);
    let middles = cpu::CODES.windows(2).map(|pair| (pair[0] + pair[1]) / 2.0);
    let around = middles.flat_map(|middle| [middle.next_down(), middle, middle.next_up()]);
    around.enumerate().for_each(|(place, value)| values.set(1 + place, value));
    let [packed, absmax] = unwritten(64, 64).map(|tensor| tensor.on(&gpu));
    quantize(&gpu, &values.on(&gpu).view, 64, &packed.view, &absmax.view).unwrap();
    assert_eq!(packed.back().bytes(), quantized_on_host(&values, 64)[0].bytes());
}

#[test]
fn elements_are_the_cpus() {
    let gpu = gpu();
    for dtype in FLOATS {
        for (count, block_size) in CASES {
            // From every code, at scales of the kind that rounding to 16 bits shows.
            let [packed, absmax] =
                quantized_on_host(&HostTensor::random(DType::Float32, &[count], 1), block_size);
            let output = HostTensor::unwritten(dtype, &[count]).on(&gpu);
            let [packed_on, absmax_on] = [&packed, &absmax].map(|tensor| tensor.on(&gpu));
            dequantize(&gpu, &packed_on.view, &absmax_on.view, block_size, &output.view).unwrap();
            let mut expected = HostTensor::unwritten(dtype, &[count]);
            on_cpu(|on| {
                let output = expected.host_mut();
                cpu::dequantize(on, &packed.host(), &absmax.host(), block_size, &output);
            });
            let what = format!("{dtype:?} {count} by {block_size}");
            assert_eq!(output.back().bytes(), expected.bytes(), "{what}");
        }
    }
}

#[test]
fn nothing_is_nothing() {
    let gpu = gpu();
    let [packed, absmax] = unwritten(0, 64).map(|tensor| tensor.on(&gpu));
    let nothing = HostTensor::unwritten(DType::BFloat16, &[0]).on(&gpu);
    quantize(&gpu, &nothing.view, 64, &packed.view, &absmax.view).unwrap();
    dequantize(&gpu, &packed.view, &absmax.view, 64, &nothing.view).unwrap();
    assert!(nothing.back().bytes().is_empty());
}
