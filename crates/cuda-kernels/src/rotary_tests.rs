//! Rotations against the CPU's.

use super::*;
use crate::normalization::rms_norm;
use crate::testing::{FLOATS, HostTensor, assert_near, gpu, on_cpu, rounding};
use crate::{DType, Layout};
use cpu_kernels::rotary as cpu;

/// (B, S, H, D), and whether the angles are the same for every entry of the batch.
const CASES: [([usize; 4], bool); 6] = [
    ([1, 1, 1, 2], false),
    ([2, 3, 2, 12], true),
    ([2, 7, 3, 64], false),
    ([1, 5, 2, 128], false),
    ([2, 2, 3, 128], true),
    ([1, 2, 1, 288], false),
];

/// The middle of three inputs that one product made: heads of (B, S, 3, H, D).
fn heads_of(dtype: DType, [batch, length, heads, size]: [usize; 4]) -> HostTensor {
    let row = 3 * heads * size;
    let layout = Layout {
        shape: vec![batch, length, heads, size],
        strides: vec![length * row, row, size, 1],
        offset: heads * size,
    };
    HostTensor::random_view(dtype, layout, 1)
}

/// Two tables of angles (B or 1, S, D / 2).
fn angles_of([batch, length, _, size]: [usize; 4], shared: bool) -> [HostTensor; 2] {
    let shape = [if shared { 1 } else { batch }, length, size / 2];
    [2, 3].map(|seed| HostTensor::random(DType::Float32, &shape, seed))
}

fn rotated(gpu: &Gpu, input: &DeviceView, [cos, sin]: &[HostTensor; 2]) -> HostTensor {
    let output = HostTensor::unwritten(input.dtype, input.shape()).on(gpu);
    rotary(gpu, input, &cos.on(gpu).view, &sin.on(gpu).view, &output.view).unwrap();
    output.back()
}

#[test]
fn rotary_has_the_cpus_bytes() {
    let gpu = gpu();
    for dtype in FLOATS {
        for (shape, shared) in CASES {
            let (input, angles) = (heads_of(dtype, shape), angles_of(shape, shared));
            let found = rotated(&gpu, &input.on(&gpu).view, &angles);
            let mut expected = HostTensor::unwritten(dtype, &shape);
            on_cpu(|on| {
                let [cos, sin] = angles.each_ref().map(HostTensor::host);
                cpu::rotary(on, &input.host(), &cos, &sin, &expected.host_mut());
            });
            assert_eq!(found.bytes(), expected.bytes(), "{dtype:?} {shape:?}");
        }
    }
}

#[test]
fn normalising_first_has_the_bytes_of_the_two() {
    let gpu = gpu();
    for dtype in FLOATS {
        for ((shape, shared), of) in
            CASES.into_iter().zip([dtype, DType::Float32].into_iter().cycle())
        {
            let [batch, length, heads, size] = shape;
            let channels = heads * size;
            let layout = Layout {
                shape: vec![batch, length, channels],
                strides: vec![length * 3 * channels, 3 * channels, 1],
                offset: channels,
            };
            let input = heads_of(dtype, shape).viewed(layout);
            let weight = HostTensor::random(of, &[channels], 4);
            let angles = angles_of(shape, shared);
            let [input_on, weight_on, cos, sin] =
                [&input, &weight, &angles[0], &angles[1]].map(|tensor| tensor.on(&gpu));
            let output = HostTensor::unwritten(dtype, &shape).on(&gpu);
            rms_norm_rotary(
                &gpu,
                &input_on.view,
                &weight_on.view,
                1e-6,
                &cos.view,
                &sin.view,
                &output.view,
            )
            .unwrap();
            let found = output.back();

            let normal = HostTensor::unwritten(dtype, &[batch, length, channels]).on(&gpu);
            let weight_view = Some(&weight_on.view);
            rms_norm(&gpu, &input_on.view, weight_view, 1e-6, false, &normal.view).unwrap();
            let heads_view =
                DeviceView { layout: Layout::contiguous(&shape), ..normal.view.clone() };
            let two = rotated(&gpu, &heads_view, &angles);
            assert_eq!(found.bytes(), two.bytes(), "{dtype:?} {shape:?}");

            let mut expected = HostTensor::unwritten(dtype, &shape);
            on_cpu(|on| {
                let [cos, sin] = angles.each_ref().map(HostTensor::host);
                let (input, weight) = (input.host(), weight.host());
                let output = expected.host_mut();
                cpu::rms_norm_rotary(on, &input, &weight, 1e-6, &cos, &sin, &output);
            });
            let what = format!("{dtype:?} {shape:?}");
            // Numbers up to 2 that another order of sums rounded another way, and their sum.
            let absolute = 8.0 * rounding(dtype) + 1e-6;
            assert_near(&what, &found, &expected, 2.0 * rounding(dtype), absolute);
        }
    }
}

#[test]
fn nothing_is_nothing() {
    let gpu = gpu();
    let shape = [1, 0, 2, 8];
    let output =
        rotated(&gpu, &heads_of(DType::Float32, shape).on(&gpu).view, &angles_of(shape, false));
    assert!(output.bytes().is_empty());
}
