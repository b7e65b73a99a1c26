use super::values::*;
use crate::operations::*;
use crate::{DType, ErrorCode, InstructionSet, Stream, Tensor};

fn stream() -> Stream {
    Stream::new(2, InstructionSet::detect())
}

/// Row lengths around the widths of vectors, and one of a model.
const LENGTHS: [usize; 7] = [1, 3, 31, 32, 33, 100, 1536];

fn layer_norm_in_float64(
    row: &[f64],
    epsilon: f64,
    [weight, bias, scale, shift]: [&dyn Fn(usize) -> f64; 4],
) -> Vec<f64> {
    let count = row.len() as f64;
    let mean = row.iter().sum::<f64>() / count;
    let variance = row.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / count;
    let normalised = row.iter().map(|x| (x - mean) / (variance + epsilon).sqrt());
    let modulated = |(i, x): (usize, f64)| (x * weight(i) + bias(i)) * (1.0 + scale(i)) + shift(i);
    normalised.enumerate().map(modulated).collect()
}

#[test]
fn layer_norm_is_float32_rounded_once() {
    let stream = stream();
    for dtype in FLOATS {
        for channels in LENGTHS {
            for used in 0..16u32 {
                let has = |bit: u32| used & (1 << bit) != 0;
                let (input, held) = random(dtype, &[2, 3, channels], 1, 20.0);
                let (weight, weights) = random(dtype, &[channels], 2, 2.0);
                let (bias, biases) = random(DType::Float32, &[channels], 3, 1.0);
                let (scale, scales) = random(DType::Float32, &[2, 1, channels], 4, 0.5);
                let (shift, shifts) = random(DType::Float32, &[2, 3, channels], 5, 0.5);
                let options = LayerNormOptions {
                    weight: has(0).then_some(weight),
                    bias: has(1).then_some(bias),
                    scale: has(2).then_some(scale),
                    shift: has(3).then_some(shift),
                    epsilon: 1e-6,
                };
                let bytes = same_everywhere(|s| layer_norm(s, &input, options.clone()).unwrap());
                let result =
                    Tensor::new(crate::Storage::copied(&bytes).unwrap(), dtype, &[2, 3, channels])
                        .unwrap();
                let expected: Vec<f64> = held
                    .chunks(channels)
                    .enumerate()
                    .flat_map(|(row, values)| {
                        layer_norm_in_float64(
                            values,
                            1e-6,
                            [
                                &|i| if has(0) { weights[i] } else { 1.0 },
                                &|i| if has(1) { biases[i] } else { 0.0 },
                                &|i| if has(2) { scales[row / 3 * channels + i] } else { 0.0 },
                                &|i| if has(3) { shifts[row * channels + i] } else { 0.0 },
                            ],
                        )
                    })
                    .collect();
                // Six operations on each element, and the errors of mean and variance.
                assert_rounded(dtype, &values(&stream, &result), &expected, 24.0, 4.0);
            }
        }
    }
}

#[test]
fn layer_norm_takes_any_layout() {
    let stream = stream();
    let (input, _) = random(DType::BFloat16, &[2, 3, 40], 1, 20.0);
    let (weight, _) = random(DType::BFloat16, &[40], 2, 2.0);
    let (scale, _) = random(DType::Float32, &[2, 1, 40], 3, 2.0);
    let (shift, _) = random(DType::Float32, &[3, 1], 4, 2.0);
    let norm = |input: &Tensor, weight: Tensor, scale: Tensor, shift: Tensor| {
        let [weight, scale, shift] = [weight, scale, shift].map(Some);
        let options = LayerNormOptions { weight, bias: None, scale, shift, epsilon: 1e-5 };
        stream.read_blocking(layer_norm(&stream, input, options).unwrap()).unwrap()
    };
    let plain = norm(&input, weight.clone(), scale.clone(), shift.clone());
    let repeated = copy(&stream, &shift.expanded(&[2, 3, 40]).unwrap(), DType::Float32).unwrap();
    assert_eq!(norm(&input, weight.clone(), scale.clone(), repeated), plain);
    for layout in 0..3 {
        let view = |tensor: &Tensor| layouts(&stream, tensor).swap_remove(layout);
        assert_eq!(norm(&view(&input), view(&weight), view(&scale), view(&shift)), plain);
    }
}

#[test]
fn large_offsets_and_constant_rows_stay_exact() {
    let stream = stream();
    // Exact in float32: mean 2²⁰, deviations ± 1.
    let held: Vec<f64> =
        (0..512).map(|i| 2f64.powi(20) + if i % 2 == 0 { 1.0 } else { -1.0 }).collect();
    let input = tensor(DType::Float32, &[1, 512], &held);
    let options = LayerNormOptions { epsilon: 0.0, ..Default::default() };
    let normalised = values(&stream, &layer_norm(&stream, &input, options).unwrap());
    assert!(normalised.iter().enumerate().all(|(i, x)| *x == if i % 2 == 0 { 1.0 } else { -1.0 }));
    let constant = tensor(DType::Float32, &[1, 64], &[3.0; 64]);
    let options = LayerNormOptions { epsilon: 1e-6, ..Default::default() };
    let normalised = values(&stream, &layer_norm(&stream, &constant, options).unwrap());
    assert_eq!(normalised, [0.0; 64]);
}

#[test]
fn rms_norm_rounds_once_or_before_the_weight() {
    let stream = stream();
    for dtype in FLOATS {
        for weight_dtype in [dtype, DType::Float32] {
            for channels in LENGTHS {
                let (input, held) = random(dtype, &[5, channels], 1, 300.0);
                let (weight, weights) = random(weight_dtype, &[channels], 2, 2.0);
                for (weighted, before) in [(false, false), (true, false), (true, true)] {
                    let options = RmsNormOptions {
                        weight: weighted.then(|| weight.clone()),
                        epsilon: 1e-6,
                        round_before_weight: before,
                    };
                    let bytes = same_everywhere(|s| rms_norm(s, &input, options.clone()).unwrap());
                    let storage = crate::Storage::copied(&bytes).unwrap();
                    let result = Tensor::new(storage, dtype, &[5, channels]).unwrap();
                    let found = values(&stream, &result);
                    let expected: Vec<f64> = held
                        .chunks(channels)
                        .flat_map(|row| {
                            let square = row.iter().map(|x| x * x).sum::<f64>();
                            let factor = (square / row.len() as f64 + 1e-6).sqrt().recip();
                            let weights = &weights;
                            row.iter().enumerate().map(move |(i, x)| {
                                x * factor * if weighted { weights[i] } else { 1.0 }
                            })
                        })
                        .collect();
                    if before && dtype != DType::Float32 {
                        // Two roundings, so twice the bound of one.
                        for (found, expected) in found.iter().zip(&expected) {
                            let bound =
                                2.1 * unit_roundoff(dtype) * expected.abs() + 2f64.powi(-23);
                            assert!((found - expected).abs() <= bound);
                        }
                    } else {
                        assert_rounded(dtype, &found, &expected, 24.0, 0.0);
                    }
                }
            }
        }
    }
}

#[test]
fn rounding_before_the_weight_is_rms_norm_then_a_product() {
    let stream = stream();
    for dtype in FLOATS {
        let (input, _) = random(dtype, &[4, 100], 1, 300.0);
        let (weight, _) = random(dtype, &[100], 2, 2.0);
        let options = RmsNormOptions { weight: None, epsilon: 1e-6, round_before_weight: false };
        let plain = rms_norm(&stream, &input, options.clone()).unwrap();
        let plain = binary(&stream, BinaryOperation::Multiply, &plain, &weight).unwrap();
        let plain = stream.read_blocking(plain).unwrap();
        let options = RmsNormOptions { weight: Some(weight), round_before_weight: true, ..options };
        let fused = rms_norm(&stream, &input, options.clone()).unwrap();
        assert_eq!(stream.read_blocking(fused).unwrap(), plain);
        for view in layouts(&stream, &input) {
            let fused = rms_norm(&stream, &view, options.clone()).unwrap();
            assert_eq!(stream.read_blocking(fused).unwrap(), plain);
        }
    }
}

#[test]
fn channel_norm_rounds_where_separate_operations_do() {
    let stream = stream();
    for dtype in FLOATS {
        for (channels, biased) in LENGTHS.into_iter().flat_map(|n| [(n, false), (n, true)]) {
            let (input, held) = random(dtype, &[2, 1, 3, 2, channels], 1, 30.0);
            let (weight, _) = random(dtype, &[channels], 2, 2.0);
            let (bias, _) = random(dtype, &[channels], 3, 1.0);
            // The normalised rows, by float64, rounded as the first step is.
            let normalised: Vec<f64> = held
                .chunks(channels)
                .flat_map(|row| {
                    let length = row.iter().map(|x| x * x).sum::<f64>().sqrt().max(1e-12);
                    row.iter().map(move |x| x / length)
                })
                .collect();
            let options = ChannelNormOptions {
                weight: weight.clone(),
                bias: biased.then(|| bias.clone()),
                activation: Activation::Silu,
            };
            let bytes = same_everywhere(|s| channel_norm(s, &input, options.clone()).unwrap());
            let storage = crate::Storage::copied(&bytes).unwrap();
            let result = Tensor::new(storage, dtype, input.shape()).unwrap();
            let plain = tensor(dtype, input.shape(), &normalised);
            let root = (channels as f64).sqrt();
            let plain = binary_scalar(&stream, BinaryOperation::Multiply, &plain, root).unwrap();
            let mut plain = binary(&stream, BinaryOperation::Multiply, &plain, &weight).unwrap();
            if biased {
                plain = binary(&stream, BinaryOperation::Add, &plain, &bias).unwrap();
            }
            let plain = activation(&stream, Activation::Silu, &plain).unwrap();
            let (found, plain) = (values(&stream, &result), values(&stream, &plain));
            // Float32 may round the first step otherwise than float64 does: one step of the type,
            // carried through the rest; almost every element has the very same bytes.
            let same = found.iter().zip(&plain).filter(|(a, b)| a == b).count();
            assert!(dtype == DType::Float32 || same * 100 >= found.len() * 95, "{same} the same");
            let step = 4.0 * unit_roundoff(dtype) + 24.0 * unit_roundoff(DType::Float32);
            for (found, plain) in found.iter().zip(&plain) {
                let scale = plain.abs().max(2.0 * root.min(8.0));
                assert!((found - plain).abs() <= step * scale, "{found} {plain}");
            }
            for view in layouts(&stream, &input) {
                let viewed = channel_norm(&stream, &view, options.clone()).unwrap();
                assert_eq!(stream.read_blocking(viewed).unwrap(), bytes);
            }
        }
    }
    let zeros = tensor(DType::Float32, &[2, 4], &[0.0; 8]);
    let weight = tensor(DType::Float32, &[4], &[1.0; 4]);
    let options = ChannelNormOptions { weight, bias: None, activation: Activation::None };
    assert_eq!(values(&stream, &channel_norm(&stream, &zeros, options).unwrap()), [0.0; 8]);
}

#[test]
fn a_row_has_the_same_bytes_alone_and_among_others() {
    let stream = Stream::new(3, InstructionSet::detect());
    let (input, _) = random(DType::Float32, &[301, 77], 1, 5.0);
    let (weight, _) = random(DType::Float32, &[77], 2, 1.0);
    let norms: [&dyn Fn(&Tensor) -> Tensor; 3] = [
        &|input| {
            let options = LayerNormOptions { epsilon: 1e-6, ..Default::default() };
            layer_norm(&stream, input, options).unwrap()
        },
        &|input| {
            let options = RmsNormOptions { epsilon: 1e-6, ..Default::default() };
            rms_norm(&stream, input, options).unwrap()
        },
        &|input| {
            let (weight, activation) = (weight.clone(), Activation::GeluTanh);
            channel_norm(&stream, input, ChannelNormOptions { weight, bias: None, activation })
                .unwrap()
        },
    ];
    for norm in norms {
        let all = stream.read_blocking(norm(&input)).unwrap();
        for row in [0, 1, 150, 300] {
            let alone = norm(&input.sliced(0, row, row + 1).unwrap());
            assert_eq!(stream.read_blocking(alone).unwrap(), all[row * 308..][..308]);
        }
        let none = norm(&input.sliced(0, 5, 5).unwrap());
        assert!(stream.read_blocking(none).unwrap().is_empty());
    }
}

#[test]
fn one_bad_value_spoils_its_own_row_alone() {
    let stream = stream();
    for bad in [f64::NAN, f64::INFINITY] {
        let mut held = noise(1, 120, 1.0);
        held[45] = bad;
        let input = tensor(DType::Float32, &[3, 40], &held);
        let options = RmsNormOptions { epsilon: 1e-6, ..Default::default() };
        let found = values(&stream, &rms_norm(&stream, &input, options).unwrap());
        assert!(found[45].is_nan());
        assert!(found[..40].iter().chain(&found[80..]).all(|x| x.is_finite()));
    }
}

#[test]
fn norms_refuse_what_doesnt_fit() {
    let stream = stream();
    let input = random(DType::BFloat16, &[2, 4], 1, 1.0).0;
    let whole = random(DType::Int32, &[2, 4], 1, 1.0).0;
    let scalar = random(DType::Float32, &[], 1, 1.0).0;
    let short = random(DType::BFloat16, &[3], 1, 1.0).0;
    let halves = random(DType::Float16, &[4], 1, 1.0).0;
    let layer = |input: &Tensor, change: &dyn Fn(&mut LayerNormOptions)| {
        let mut options = LayerNormOptions { epsilon: 1e-6, ..Default::default() };
        change(&mut options);
        layer_norm(&stream, input, options)
    };
    let name = "layerNorm";
    assert_refused(layer(&whole, &|_| {}), ErrorCode::DType, name, "input");
    assert_refused(layer(&scalar, &|_| {}), ErrorCode::Shape, name, "input");
    for epsilon in [-1.0, f64::NAN, f64::INFINITY] {
        let refused = layer(&input, &|options| options.epsilon = epsilon);
        assert_refused(refused, ErrorCode::Argument, name, "epsilon");
    }
    let refused = layer(&input, &|options| options.weight = Some(short.clone()));
    assert_refused(refused, ErrorCode::Shape, name, "weight");
    let refused = layer(&input, &|options| options.bias = Some(halves.clone()));
    assert_refused(refused, ErrorCode::DType, name, "bias");
    let refused = layer(&input, &|options| options.scale = Some(halves.clone()));
    assert_refused(refused, ErrorCode::DType, name, "scale");
    let wide = random(DType::Float32, &[3, 4], 1, 1.0).0;
    let refused = layer(&input, &|options| options.shift = Some(wide.clone()));
    assert_refused(refused, ErrorCode::Shape, name, "shift");

    let rms = |input: &Tensor, weight: Option<&Tensor>, epsilon| {
        let weight = weight.cloned();
        rms_norm(&stream, input, RmsNormOptions { weight, epsilon, round_before_weight: false })
    };
    let name = "rmsNorm";
    assert_refused(rms(&whole, None, 0.0), ErrorCode::DType, name, "input");
    assert_refused(rms(&scalar, None, 0.0), ErrorCode::Shape, name, "input");
    assert_refused(rms(&input, None, -1.0), ErrorCode::Argument, name, "epsilon");
    assert_refused(rms(&input, Some(&short), 0.0), ErrorCode::Shape, name, "weight");
    assert_refused(rms(&input, Some(&halves), 0.0), ErrorCode::DType, name, "weight");

    let channel = |input: &Tensor, weight: &Tensor, bias: Option<&Tensor>| {
        let (weight, bias) = (weight.clone(), bias.cloned());
        let options = ChannelNormOptions { weight, bias, activation: Activation::None };
        channel_norm(&stream, input, options)
    };
    let name = "channelNorm";
    let good = random(DType::Float32, &[4], 1, 1.0).0;
    assert_refused(channel(&whole, &good, None), ErrorCode::DType, name, "input");
    assert_refused(channel(&scalar, &good, None), ErrorCode::Shape, name, "input");
    assert_refused(channel(&input, &short, None), ErrorCode::Shape, name, "weight");
    assert_refused(channel(&input, &halves, None), ErrorCode::DType, name, "weight");
    assert_refused(channel(&input, &good, Some(&halves)), ErrorCode::DType, name, "bias");
}
