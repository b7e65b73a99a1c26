//! 8-bit codes of a table against the CPU's, byte for byte.

use super::*;
use crate::testing::{HostTensor, gpu, on_cpu};
use crate::{DType, Layout};
use cpu_kernels::quantization::blockwise as cpu;

/// Numbers of elements and sizes of blocks.
const CASES: [(usize, usize); 5] =
    [(1, 256), (1000, 256), (500, 3), (2000, 1024), (40, usize::MAX)];

/// Entries denser round 0, as dynamic maps have them.
fn table() -> HostTensor {
    let entry = |code: usize| (code as f32 / 127.5 - 1.0).powi(3);
    let entries: Vec<f32> = (0..TABLE).map(entry).collect();
    HostTensor::new(DType::Float32, &entries, Layout::contiguous(&[TABLE]))
}

fn unwritten(count: usize, block_size: usize) -> [HostTensor; 2] {
    [
        HostTensor::unwritten(DType::UInt8, &[count]),
        HostTensor::unwritten(DType::Float32, &[count.div_ceil(block_size)]),
    ]
}

fn quantized_on_host(values: &HostTensor, block_size: usize) -> [HostTensor; 2] {
    let [mut codes, mut absmax] = unwritten(values.layout.count(), block_size);
    let table = table();
    on_cpu(|on| {
        let (values, table) = (values.host(), table.host());
        let (codes, absmax) = (codes.host_mut(), absmax.host_mut());
        cpu::quantize(on, &values, &table, block_size, &codes, &absmax);
    });
    [codes, absmax]
}

#[test]
fn codes_and_scales_are_the_cpus() {
    let gpu = gpu();
    for (count, block_size) in CASES {
        let mut values = HostTensor::random(DType::Float32, &[count], 1);
        for place in 0..count {
            match place {
                256..512 => values.set(place, 0.0),
                600 => values.set(place, f32::NAN),
                800 => values.set(place, f32::NEG_INFINITY),
                _ => {}
            }
        }
        let [codes, absmax] = unwritten(count, block_size).map(|tensor| tensor.on(&gpu));
        let (input, entries) = (values.on(&gpu), table().on(&gpu));
        quantize(&gpu, &input.view, &entries.view, block_size, &codes.view, &absmax.view).unwrap();
        let expected = quantized_on_host(&values, block_size);
        assert_eq!(codes.back().bytes(), expected[0].bytes(), "{count} by {block_size}");
        for (found, expected) in absmax.back().floats().into_iter().zip(expected[1].floats()) {
            let same = found == expected || found.is_nan() && expected.is_nan();
            assert!(same, "{count} by {block_size}: {found} is not {expected}");
        }
    }
}

#[test]
fn elements_are_the_cpus() {
    let gpu = gpu();
    for (count, block_size) in CASES {
        let values = HostTensor::random(DType::Float32, &[count], 1);
        let ([codes, absmax], table) = (quantized_on_host(&values, block_size), table());
        let [codes_on, absmax_on, table_on] =
            [&codes, &absmax, &table].map(|tensor| tensor.on(&gpu));
        let output = HostTensor::unwritten(DType::Float32, &[count]).on(&gpu);
        dequantize(&gpu, &codes_on.view, &absmax_on.view, &table_on.view, block_size, &output.view)
            .unwrap();
        let mut expected = HostTensor::unwritten(DType::Float32, &[count]);
        on_cpu(|on| {
            let [codes, absmax, table] = [&codes, &absmax, &table].map(|tensor| tensor.host());
            cpu::dequantize(on, &codes, &absmax, &table, block_size, &expected.host_mut());
        });
        assert_eq!(output.back().bytes(), expected.bytes(), "{count} by {block_size}");
    }
}
