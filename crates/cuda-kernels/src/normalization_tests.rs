//! Normalisations against the CPU's.

use super::*;
use crate::testing::{FLOATS, HostTensor, assert_near, gpu, on_cpu, rounding};
use crate::{DType, Layout};
use cpu_kernels::linear::Activation as CpuActivation;
use cpu_kernels::normalization as cpu;

/// Rows on both sides of a tile, in as many channels as a tile has, fewer and more: (B, S, C), the
/// elements between rows, and those before the first.
const CASES: [([usize; 3], usize, usize); 7] = [
    ([1, 1, 1], 0, 0),
    ([2, 3, 5], 2, 1),
    ([1, 7, 96], 32, 0),
    ([1, 17, 96], 0, 3),
    ([2, 2, 384], 16, 16),
    ([1, 3, 1536], 0, 0),
    ([1, 2, 5120], 0, 8),
];

/// (B, S, C) with B inside S, so that the two can't be merged.
fn input_of(dtype: DType, case: ([usize; 3], usize, usize), seed: u64) -> HostTensor {
    let ([batch, length, channels], padding, offset) = case;
    let row = channels + padding;
    let layout =
        Layout { shape: vec![batch, length, channels], strides: vec![row, batch * row, 1], offset };
    HostTensor::random_view(dtype, layout, seed)
}

/// Element types of parameters that go with an input's.
fn of_parameters(dtype: DType) -> Vec<DType> {
    if dtype == DType::Float32 { vec![dtype] } else { vec![dtype, DType::Float32] }
}

fn unwritten(input: &HostTensor) -> HostTensor {
    HostTensor::unwritten(input.dtype, &input.layout.shape)
}

#[derive(Default)]
struct Parameters {
    weight: Option<HostTensor>,
    bias: Option<HostTensor>,
    scale: Option<HostTensor>,
    shift: Option<HostTensor>,
}

impl Parameters {
    fn on_device(&self, gpu: &Gpu, input: &HostTensor) -> HostTensor {
        let [weight, bias, scale, shift] = [&self.weight, &self.bias, &self.scale, &self.shift]
            .map(|tensor| tensor.as_ref().map(|tensor| tensor.on(gpu)));
        let options = LayerNorm {
            weight: weight.as_ref().map(|tensor| &tensor.view),
            bias: bias.as_ref().map(|tensor| &tensor.view),
            scale: scale.as_ref().map(|tensor| &tensor.view),
            shift: shift.as_ref().map(|tensor| &tensor.view),
            epsilon: 1e-6,
        };
        let output = unwritten(input).on(gpu);
        layer_norm(gpu, &input.on(gpu).view, &options, &output.view).unwrap();
        output.back()
    }

    fn on_host(&self, input: &HostTensor) -> HostTensor {
        let [weight, bias, scale, shift] = [&self.weight, &self.bias, &self.scale, &self.shift]
            .map(|tensor| tensor.as_ref().map(HostTensor::host));
        let options = cpu::LayerNorm {
            weight: weight.as_ref(),
            bias: bias.as_ref(),
            scale: scale.as_ref(),
            shift: shift.as_ref(),
            epsilon: 1e-6,
        };
        let mut output = unwritten(input);
        on_cpu(|on| cpu::layer_norm(on, &input.host(), &options, &output.host_mut()));
        output
    }
}

fn rms_on_device(
    gpu: &Gpu,
    input: &HostTensor,
    weight: Option<&HostTensor>,
    round_before_weight: bool,
) -> HostTensor {
    let weight = weight.map(|weight| weight.on(gpu));
    let weight = weight.as_ref().map(|weight| &weight.view);
    let output = unwritten(input).on(gpu);
    rms_norm(gpu, &input.on(gpu).view, weight, 1e-6, round_before_weight, &output.view).unwrap();
    output.back()
}

fn channel_on_device(
    gpu: &Gpu,
    input: &HostTensor,
    weight: &HostTensor,
    bias: Option<&HostTensor>,
    activation: Activation,
) -> HostTensor {
    let bias = bias.map(|bias| bias.on(gpu));
    let bias = bias.as_ref().map(|bias| &bias.view);
    let (input_on, weight) = (input.on(gpu), weight.on(gpu));
    let output = unwritten(input).on(gpu);
    channel_norm(gpu, &input_on.view, &weight.view, bias, activation, &output.view).unwrap();
    output.back()
}

#[test]
fn layer_norm_is_the_cpus_with_any_parameters() {
    let gpu = gpu();
    for dtype in FLOATS {
        for (place, case) in CASES.into_iter().enumerate() {
            let input = input_of(dtype, case, 1);
            let [batch, length, channels] = case.0;
            for of in of_parameters(dtype) {
                let each =
                    |wanted: bool, seed| wanted.then(|| HostTensor::random(of, &[channels], seed));
                let modulation = |wanted: bool, shape: &[usize], seed| {
                    wanted.then(|| HostTensor::random(DType::Float32, shape, seed))
                };
                // One row of scales for each entry of the batch, one of shifts for each token.
                let parameters = Parameters {
                    weight: each(place % 2 == 0, 2),
                    bias: each(place % 3 != 1, 3),
                    scale: modulation(place % 3 != 2, &[batch, 1, channels], 4),
                    shift: modulation(place % 4 != 2, &[batch, length, channels], 5),
                };
                let (found, expected) =
                    (parameters.on_device(&gpu, &input), parameters.on_host(&input));
                let what = format!("{dtype:?} {case:?}, parameters of {of:?}");
                assert_near(&what, &found, &expected, 2.0 * rounding(dtype), 4e-6);
            }
        }
    }
}

#[test]
fn rms_norm_is_the_cpus_rounded_before_the_weight_or_not() {
    let gpu = gpu();
    for dtype in FLOATS {
        for (place, case) in CASES.into_iter().enumerate() {
            let input = input_of(dtype, case, 1);
            for of in of_parameters(dtype) {
                let weight = (place != 2).then(|| HostTensor::random(of, &[case.0[2]], 2));
                let early = place % 2 == 1;
                let found = rms_on_device(&gpu, &input, weight.as_ref(), early);
                let mut expected = unwritten(&input);
                let view = weight.as_ref().map(HostTensor::host);
                on_cpu(|on| {
                    let (input, view) = (input.host(), view.as_ref());
                    cpu::rms_norm(on, &input, view, 1e-6, early, &expected.host_mut());
                });
                let what = format!("{dtype:?} {case:?}, weight of {of:?}");
                assert_near(&what, &found, &expected, 4.0 * rounding(dtype), 1e-6);
            }
        }
    }
}

#[test]
fn channel_norm_is_the_cpus_with_and_without_silu() {
    let gpu = gpu();
    let widths = [1, 5, 96, 128, 192, 256, 384, 1040];
    for dtype in FLOATS {
        for (place, channels) in widths.into_iter().enumerate() {
            let mut input = input_of(dtype, ([2, 9, channels], 16 * (place % 2), 0), 1);
            // A row of zeros, which has no direction, and one with a NaN.
            (0..channels).for_each(|channel| input.set(channel, 0.0));
            input.set(2 * (channels + 16 * (place % 2)), f32::NAN);
            for of in of_parameters(dtype) {
                let weight = HostTensor::random(of, &[channels], 2);
                let bias = (place % 3 == 0).then(|| HostTensor::random(of, &[channels], 3));
                let (activation, cpu_activation) = [
                    (Activation::None, CpuActivation::None),
                    (Activation::Silu, CpuActivation::Silu),
                ][place % 2];
                let found = channel_on_device(&gpu, &input, &weight, bias.as_ref(), activation);
                let mut expected = unwritten(&input);
                let view = bias.as_ref().map(HostTensor::host);
                on_cpu(|on| {
                    let (input, weight) = (input.host(), weight.host());
                    let output = expected.host_mut();
                    cpu::channel_norm(on, &input, &weight, view.as_ref(), cpu_activation, &output);
                });
                let what = format!("{dtype:?} {channels}, parameters of {of:?}");
                // A sum's other order may move each of the roundings by a step, of numbers up to √C.
                let magnitude = (channels as f64).sqrt().min(3.0);
                let absolute = 4.0 * rounding(dtype) * magnitude + 1e-6;
                assert_near(&what, &found, &expected, 4.0 * rounding(dtype), absolute);
            }
        }
    }
}

#[test]
fn channel_norm_has_the_other_activations() {
    let gpu = gpu();
    let input = HostTensor::random(DType::BFloat16, &[3, 32], 1);
    let weight = HostTensor::random(DType::BFloat16, &[32], 2);
    for (activation, cpu_activation) in [
        (Activation::Gelu, CpuActivation::Gelu),
        (Activation::GeluTanh, CpuActivation::GeluTanh),
        (Activation::QuickGelu, CpuActivation::QuickGelu),
    ] {
        let found = channel_on_device(&gpu, &input, &weight, None, activation);
        let mut expected = unwritten(&input);
        on_cpu(|on| {
            let (input, weight) = (input.host(), weight.host());
            let output = expected.host_mut();
            cpu::channel_norm(on, &input, &weight, None, cpu_activation, &output);
        });
        let relative = 4.0 * rounding(DType::BFloat16);
        assert_near(&format!("{activation:?}"), &found, &expected, relative, 0.02);
    }
}

#[test]
fn parameters_may_have_strides() {
    let gpu = gpu();
    let input = HostTensor::random(DType::BFloat16, &[2, 48], 1);
    let apart = Layout { shape: vec![48], strides: vec![3], offset: 1 };
    let weight = HostTensor::random_view(DType::Float32, apart, 2);
    let close = HostTensor::new(DType::Float32, &weight.floats(), Layout::contiguous(&[48]));
    let [found, expected] =
        [&weight, &close].map(|weight| rms_on_device(&gpu, &input, Some(weight), false));
    assert_eq!(found.bytes(), expected.bytes());
    let [found, expected] = [weight, close].map(|weight| {
        let parameters = Parameters {
            weight: Some(weight.clone()),
            bias: Some(weight),
            ..Parameters::default()
        };
        parameters.on_device(&gpu, &input)
    });
    assert_eq!(found.bytes(), expected.bytes());
}

/// Each operation's bytes of an input.
fn all_of(gpu: &Gpu, input: &HostTensor) -> [Vec<u8>; 3] {
    let channels = input.layout.shape[1];
    let weight = HostTensor::random(input.dtype, &[channels], 2);
    let parameters = Parameters { weight: Some(weight.clone()), ..Parameters::default() };
    [
        parameters.on_device(gpu, input),
        rms_on_device(gpu, input, Some(&weight), false),
        channel_on_device(gpu, input, &weight, None, Activation::Silu),
    ]
    .map(|output| output.bytes().to_vec())
}

#[test]
fn rows_see_neither_their_number_nor_their_alignment() {
    let gpu = gpu();
    for (dtype, channels) in [
        (DType::BFloat16, 96),
        (DType::Float16, 160),
        (DType::BFloat16, 250),
        (DType::Float32, 384),
        (DType::BFloat16, 528),
        (DType::Float16, 2080),
    ] {
        let rows = HostTensor::random(dtype, &[5, channels], 1);
        let together = all_of(&gpu, &rows);
        let values = rows.floats();
        for row in [0, 4] {
            // Alone, in whole vectors and one element beside them.
            for offset in [0, 1] {
                let mut storage = vec![0.0; offset];
                storage.extend(&values[row * channels..][..channels]);
                let layout = Layout { offset, ..Layout::contiguous(&[1, channels]) };
                let alone = all_of(&gpu, &HostTensor::new(dtype, &storage, layout));
                for (together, alone) in together.iter().zip(alone) {
                    let bytes = channels * dtype.size();
                    assert_eq!(together[row * bytes..][..bytes], alone, "{dtype:?} {channels}");
                }
            }
        }
    }
}

#[test]
fn rows_in_more_dimensions_than_a_kernel_counts() {
    let gpu = gpu();
    // Four dimensions of rows, none of which can be merged with the next.
    let layout =
        Layout { shape: vec![2, 2, 3, 2, 16], strides: vec![640, 16, 192, 64, 1], offset: 32 };
    let input = HostTensor::random_view(DType::Float16, layout, 1);
    let close =
        HostTensor::new(DType::Float16, &input.floats(), Layout::contiguous(&[2, 2, 3, 2, 16]));
    let [found, expected] = [input, close].map(|input| rms_on_device(&gpu, &input, None, false));
    assert_eq!(found.bytes(), expected.bytes());
}

#[test]
fn nothing_is_nothing() {
    let gpu = gpu();
    for shape in [[0, 8], [3, 0]] {
        let input = HostTensor::random(DType::Float32, &shape, 1);
        assert!(rms_on_device(&gpu, &input, None, false).bytes().is_empty());
    }
}
