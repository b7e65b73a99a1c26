//! Functions of one element on the emulated device beside the processor's: the same bytes.

use super::*;
use crate::testing::{
    HostTensor, assert_near, assert_same, expected, gpu, outputs, rounding, special,
};
use crate::{DType, Layout};
use cpu_kernels::{linear, unary as cpu};

const FLOATS: [DType; 3] = [DType::Float32, DType::BFloat16, DType::Float16];
const ACTIVATIONS: [(Activation, linear::Activation); 5] = [
    (Activation::None, linear::Activation::None),
    (Activation::Silu, linear::Activation::Silu),
    (Activation::Gelu, linear::Activation::Gelu),
    (Activation::GeluTanh, linear::Activation::GeluTanh),
    (Activation::QuickGelu, linear::Activation::QuickGelu),
];

fn layouts() -> [Layout; 4] {
    [
        Layout::contiguous(&[3, 401]),
        Layout { shape: vec![1100], strides: vec![1], offset: 1 },
        Layout { shape: vec![5, 70], strides: vec![1, 5], offset: 2 },
        Layout::contiguous(&[2, 0]),
    ]
}

/// Numbers all over the range where activations aren't trivial, and beyond.
fn spread(dtype: DType, layout: Layout) -> HostTensor {
    HostTensor::with(dtype, layout, |place| match place {
        0 => f32::INFINITY,
        1 => f32::NEG_INFINITY,
        2 => f32::NAN,
        3 => -0.0,
        place => (place as f32 * 0.37 % 24.0 - 12.0) * if place % 9 == 0 { 9.0 } else { 1.0 },
    })
}

#[test]
fn activations_are_the_processors() {
    let gpu = gpu();
    for (dtype, layout) in FLOATS.into_iter().flat_map(|dtype| layouts().map(|one| (dtype, one))) {
        let input = spread(dtype, layout);
        let device = input.on(&gpu);
        let kinds = [(dtype, &input.layout.shape[..])];
        for (kind, reference) in ACTIVATIONS {
            let [found] =
                outputs(&gpu, kinds, |[output]| activation(&gpu, kind, &device.view, output));
            let [wanted] = expected(kinds, |on, [output]| {
                cpu::activation(on, reference, &input.host(), &output);
            });
            let case = format!("{dtype:?} {kind:?} {:?}", input.layout);
            match dtype {
                DType::Float32 => assert_same(dtype, &found, &wanted, &case),
                // Exponents of theirs are computed in float32 here, in float64 there.
                _ => {
                    let of = |bytes| {
                        HostTensor::from_bytes(dtype, Layout::contiguous(kinds[0].1), bytes)
                    };
                    let step = 2.0 * rounding(dtype);
                    assert_near(&case, &of(&found), &of(&wanted), step + 1e-5, 6e-8);
                }
            }
        }
    }
}

#[test]
fn an_activation_may_take_its_inputs_place() {
    let gpu = gpu();
    for (kind, reference) in ACTIVATIONS {
        let input = spread(DType::Float32, Layout::contiguous(&[1030]));
        let kinds = [(DType::Float32, &[1030][..])];
        let [found] = outputs(&gpu, kinds, |[output]| {
            crate::movement::copy(&gpu, &input.on(&gpu).view, output)?;
            activation(&gpu, kind, output, output)
        });
        let [wanted] = expected(kinds, |on, [output]| {
            cpu::activation(on, reference, &input.host(), &output);
        });
        assert_same(DType::Float32, &found, &wanted, &format!("{kind:?}"));
    }
}

#[test]
fn clamps_and_leaves_nan() {
    let gpu = gpu();
    let far = [f64::NEG_INFINITY, f64::INFINITY];
    for (dtype, layout) in DType::ALL.into_iter().flat_map(|one| layouts().map(|it| (one, it))) {
        let input = special(dtype, layout, 2);
        let device = input.on(&gpu);
        let kinds = [(dtype, &input.layout.shape[..])];
        for [low, high] in [[0.0, 1.0], [1.0, 1.0], [far[0], 0.0], [0.0, far[1]], far] {
            let [found] =
                outputs(&gpu, kinds, |[output]| clamp(&gpu, &device.view, low, high, output));
            let [wanted] = expected(kinds, |on, [output]| {
                cpu::clamp(on, &input.host(), low, high, &output);
            });
            assert_same(dtype, &found, &wanted, &format!("{dtype:?} within {low} and {high}"));
        }
    }
}
