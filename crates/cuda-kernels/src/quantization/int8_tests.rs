//! 8-bit rows against the CPU's, byte for byte.

use super::*;
use crate::DType;
use crate::testing::{FLOATS, HostTensor, gpu, on_cpu};
use cpu_kernels::quantization::int8 as cpu;

const CASES: [[usize; 2]; 5] = [[1, 1], [7, 5], [4, 96], [2, 1536], [1, 5120]];

fn unwritten([rows, columns]: [usize; 2]) -> [HostTensor; 2] {
    [
        HostTensor::unwritten(DType::Int8, &[rows, columns]),
        HostTensor::unwritten(DType::Float32, &[rows]),
    ]
}

fn quantized_on_host(values: &HostTensor, shape: [usize; 2]) -> [HostTensor; 2] {
    let [mut codes, mut absmax] = unwritten(shape);
    on_cpu(|on| cpu::quantize(on, &values.host(), &codes.host_mut(), &absmax.host_mut()));
    [codes, absmax]
}

#[test]
fn codes_and_scales_are_the_cpus() {
    let gpu = gpu();
    for dtype in FLOATS {
        for shape in CASES {
            let [rows, columns] = shape;
            let mut values = HostTensor::random(dtype, &shape, 1);
            if rows > 3 {
                // Ties, zeros, a NaN, and what is infinite in half precision.
                let ties = [127.0, 2.5, 3.5, -2.5, -3.5];
                ties.into_iter().enumerate().for_each(|(place, tie)| values.set(place, tie));
                (0..columns).for_each(|column| values.set(columns + column, 0.0));
                values.set(2 * columns + 3, f32::NAN);
                values.set(3 * columns + 1, 7e4);
            }
            let [codes, absmax] = unwritten(shape).map(|tensor| tensor.on(&gpu));
            quantize(&gpu, &values.on(&gpu).view, &codes.view, &absmax.view).unwrap();
            let expected = quantized_on_host(&values, shape);
            assert_eq!(codes.back().bytes(), expected[0].bytes(), "{dtype:?} {shape:?}");
            for (found, expected) in absmax.back().floats().into_iter().zip(expected[1].floats()) {
                let same = found == expected || found.is_nan() && expected.is_nan();
                assert!(same, "{dtype:?} {shape:?}: {found} is not {expected}");
            }
        }
    }
}

#[test]
fn elements_are_the_cpus() {
    let gpu = gpu();
    for dtype in FLOATS {
        for shape in CASES {
            let values = HostTensor::random(DType::Float32, &shape, 1);
            let [codes, absmax] = quantized_on_host(&values, shape);
            let [codes_on, absmax_on] = [&codes, &absmax].map(|tensor| tensor.on(&gpu));
            let output = HostTensor::unwritten(dtype, &shape).on(&gpu);
            dequantize(&gpu, &codes_on.view, &absmax_on.view, &output.view).unwrap();
            let mut expected = HostTensor::unwritten(dtype, &shape);
            on_cpu(|on| {
                cpu::dequantize(on, &codes.host(), &absmax.host(), &expected.host_mut());
            });
            assert_eq!(output.back().bytes(), expected.bytes(), "{dtype:?} {shape:?}");
        }
    }
}

#[test]
fn rows_of_nothing_have_scales_of_zero() {
    let gpu = gpu();
    let [codes, absmax] = unwritten([2, 0]).map(|tensor| tensor.on(&gpu));
    let nothing = HostTensor::unwritten(DType::BFloat16, &[2, 0]).on(&gpu);
    quantize(&gpu, &nothing.view, &codes.view, &absmax.view).unwrap();
    dequantize(&gpu, &codes.view, &absmax.view, &nothing.view).unwrap();
    assert_eq!(absmax.back().floats(), [0.0, 0.0]);
    assert!(nothing.back().bytes().is_empty());
}
