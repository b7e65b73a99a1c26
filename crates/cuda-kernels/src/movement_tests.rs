//! Movement on the emulated device beside the processor's: the same bytes.

use super::*;
use crate::testing::{HostTensor, assert_same, expected, gpu, layouts, numbers, outputs, permuted};
use cpu_kernels::movement as cpu;

/// Numbers at the edges of element types, between their steps, and that aren't finite.
const SPECIAL: [f32; 37] = [
    0.0,
    -0.0,
    0.5,
    -0.5,
    1.5,
    -1.5,
    2.5,
    126.9,
    127.0,
    127.5,
    128.0,
    -128.0,
    -128.9,
    -129.0,
    254.9,
    255.0,
    255.5,
    256.0,
    -0.9,
    -1.0,
    65_519.0,
    65_520.0,
    2_147_483_520.0,
    2_147_483_648.0,
    -2_147_483_648.0,
    -2_147_483_904.0,
    3e9,
    9.223_371e18,
    9.223_372e18,
    -9.223_372e18,
    1e30,
    1e-40,
    6e-8,
    1.003_906_2,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
];

fn copied(gpu: &Gpu, input: &HostTensor, dtype: DType) -> [Vec<u8>; 1] {
    let device = input.on(gpu);
    outputs(gpu, [(dtype, &input.layout.shape)], |[output]| copy(gpu, &device.view, output))
}

fn check_copy(gpu: &Gpu, input: &HostTensor, dtype: DType) {
    let [found] = copied(gpu, input, dtype);
    let shape = &input.layout.shape;
    let [wanted] = expected([(dtype, shape)], |on, [output]| cpu::copy(on, &input.host(), &output));
    let case = format!("{:?} to {dtype:?}, {:?}", input.dtype, input.layout);
    assert_same(dtype, &found, &wanted, &case);
}

#[test]
fn copies_whatever_the_strides() {
    let gpu = gpu();
    for dtype in [DType::UInt8, DType::BFloat16, DType::Int32, DType::Int64] {
        for layout in layouts() {
            check_copy(&gpu, &numbers(dtype, layout, 1), dtype);
        }
    }
}

#[test]
fn rows_of_bytes_are_copied_in_longer_words() {
    let gpu = gpu();
    for (dtype, row, offset) in
        [(DType::UInt8, 24, 8), (DType::UInt8, 20, 4), (DType::BFloat16, 12, 3)]
    {
        let layout = Layout { shape: vec![40, row], strides: vec![row + 8, 1], offset };
        check_copy(&gpu, &numbers(dtype, layout, 2), dtype);
    }
}

#[test]
fn matrices_are_turned_by_tiles() {
    let gpu = gpu();
    for (shape, order) in [
        (vec![70, 33], vec![1, 0]),
        (vec![2, 16, 17], vec![0, 2, 1]),
        (vec![2, 3, 2, 65, 40], vec![2, 0, 1, 4, 3]),
        (vec![20, 3, 18], vec![2, 1, 0]),
    ] {
        let layout = permuted(&shape, &order);
        let contiguous = Layout::contiguous(&layout.shape).strides;
        let walk = Walk::new(&layout.shape, [&layout.strides, &contiguous]);
        assert!(Turned::of(&walk).is_some(), "{layout:?}");
        for dtype in [DType::Int8, DType::Float16, DType::Float32, DType::Int64] {
            check_copy(&gpu, &numbers(dtype, layout.clone(), 3), dtype);
        }
    }
}

#[test]
fn casts_between_all_types_are_the_processors() {
    let gpu = gpu();
    let wide = [0, 1, -1, 127, 128, -129, 255, 256, (1 << 24) + 1, 1 << 31, -(1 << 31), i64::MAX]
        .into_iter()
        .chain([i64::MIN, (1 << 53) + 1, 0x1234_5678_9abc_def0, (1 << 40) + (1 << 16) + 1]);
    let wide: Vec<u8> = wide.flat_map(i64::to_ne_bytes).collect();
    for from in DType::ALL {
        let shape = [3, 37];
        let layout = Layout { shape: vec![37, 3], strides: vec![1, 37], offset: 0 };
        let value = |place| if from.is_float() { SPECIAL[place % 37] } else { place as f32 - 50.0 };
        let inputs = [
            HostTensor::with(from, Layout::contiguous(&shape), value),
            HostTensor::with(from, layout, value),
            HostTensor::from_bytes(from, Layout::contiguous(&[128 / from.size()]), &wide),
        ];
        for to in DType::ALL {
            // The last are bits that are any number in integers alone.
            for input in &inputs[..if from.is_float() { 2 } else { 3 }] {
                check_copy(&gpu, input, to);
            }
        }
    }
}

#[test]
fn floats_are_cast_in_whole_blocks_a_rest_and_off_boundaries() {
    let gpu = gpu();
    let floats = [DType::Float32, DType::BFloat16, DType::Float16];
    for (from, to) in floats.into_iter().flat_map(|from| floats.map(|to| (from, to))) {
        for (count, offset) in [(1, 0), (1024, 0), (2100, 0), (1100, 1)] {
            let layout = Layout { shape: vec![count], strides: vec![1], offset };
            check_copy(&gpu, &numbers(from, layout, 5), to);
        }
    }
}

#[test]
fn fills_with_one_value() {
    let gpu = gpu();
    for dtype in DType::ALL {
        for (shape, value) in [
            (vec![], 1.0f64),
            (vec![3, 0], 1.0),
            (vec![5, 301], 3.0),
            (vec![1500], 0.0),
            (vec![7], 0.1),
            (vec![7], -0.0),
            (vec![9], 1e30),
        ] {
            let value = if dtype.is_float() { value } else { value.min(100.0).trunc() };
            let [found] = outputs(&gpu, [(dtype, &shape)], |[output]| fill(&gpu, output, value));
            let [wanted] =
                expected([(dtype, &shape)], |on, [output]| cpu::fill(on, &output, value));
            assert_same(dtype, &found, &wanted, &format!("{dtype:?} {shape:?} of {value}"));
        }
    }
}

#[test]
fn puts_tensors_side_by_side() {
    let gpu = gpu();
    for dtype in [DType::BFloat16, DType::Int64] {
        for dim in 0..3 {
            let inputs: Vec<HostTensor> = [3, 0, 1, 5]
                .into_iter()
                .map(|size| {
                    let mut shape = [4, 6, 5];
                    shape[dim] = size;
                    numbers(dtype, permuted(&[shape[1], shape[0], shape[2]], &[1, 0, 2]), 6)
                })
                .collect();
            let mut shape = [4, 6, 5];
            shape[dim] = 9;
            let devices: Vec<_> = inputs.iter().map(|input| input.on(&gpu)).collect();
            let views: Vec<_> = devices.iter().map(|device| device.view.clone()).collect();
            let [found] =
                outputs(&gpu, [(dtype, &shape)], |[output]| concatenate(&gpu, &views, dim, output));
            let hosts: Vec<_> = inputs.iter().map(HostTensor::host).collect();
            let [wanted] = expected([(dtype, &shape)], |on, [output]| {
                cpu::concatenate(on, &hosts, dim, &output);
            });
            assert_same(dtype, &found, &wanted, &format!("{dtype:?} along {dim}"));
        }
    }
}

#[test]
fn pads_with_zeros() {
    let gpu = gpu();
    for (shape, before, after) in [
        (vec![2, 3, 5], vec![1, 0, 2], vec![0, 4, 1]),
        (vec![6], vec![0], vec![0]),
        (vec![0, 4], vec![2, 1], vec![0, 0]),
        (vec![2, 1, 3, 2, 5, 4], vec![0, 1, 1, 0, 1, 1], vec![1, 0, 1, 0, 0, 1]),
    ] {
        let whole: Vec<usize> =
            shape.iter().zip(&before).zip(&after).map(|((n, from), to)| n + from + to).collect();
        let input = numbers(DType::Float16, Layout::contiguous(&shape), 7);
        let device = input.on(&gpu);
        let kinds = [(DType::Float16, &whole[..])];
        let [found] = outputs(&gpu, kinds, |[output]| pad(&gpu, &device.view, &before, output));
        let [wanted] = expected(kinds, |on, [output]| {
            cpu::pad(on, &input.host(), &before, &output);
        });
        assert_same(DType::Float16, &found, &wanted, &format!("{shape:?} in {whole:?}"));
    }
}

#[test]
fn repeats_pixels() {
    let gpu = gpu();
    let inputs = [
        numbers(DType::BFloat16, Layout::contiguous(&[2, 1, 5, 3, 7]), 8),
        numbers(DType::Float32, permuted(&[2, 6, 2, 5, 3], &[0, 2, 3, 4, 1]), 9),
        numbers(DType::Float32, Layout::contiguous(&[1, 2, 0, 3, 4]), 8),
    ];
    for (input, factor) in inputs.iter().flat_map(|input| [1, 2, 3].map(|factor| (input, factor))) {
        let &[batch, time, height, width, channels] = &input.layout.shape[..] else {
            unreachable!("five dimensions");
        };
        let shape = [batch, time, height * factor, width * factor, channels];
        let device = input.on(&gpu);
        let kinds = [(input.dtype, &shape[..])];
        let [found] =
            outputs(&gpu, kinds, |[output]| upsample_nearest(&gpu, &device.view, factor, output));
        let [wanted] = expected(kinds, |on, [output]| {
            cpu::upsample_nearest(on, &input.host(), factor, &output);
        });
        assert_same(input.dtype, &found, &wanted, &format!("{:?} by {factor}", input.layout));
    }
}
