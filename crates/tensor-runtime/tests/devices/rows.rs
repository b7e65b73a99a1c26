//! Operations over rows: normalisation, rotary embedding, gating.

use crate::both;
use crate::compare::{Distance, FLOATS, LIES, Lie, Pair};
use tensor_runtime::operations::{
    self, Activation, ChannelNormOptions, LayerNormOptions, RmsNormOptions,
};
use tensor_runtime::{DType, Tensor};

const CHANNELS: [usize; 6] = [1, 5, 33, 128, 384, 1536];

#[test]
fn layer_norm() {
    let both = both();
    for dtype in FLOATS {
        for channels in CHANNELS {
            for (used, lie) in (0..16u32).zip(LIES.into_iter().cycle()) {
                let has = |bit: u32| used & (1 << bit) != 0;
                let input = both.random(dtype, &[2, 3, channels], 20.0, lie);
                let parts: [(Pair, bool); 4] = [
                    (both.random(dtype, &[channels], 2.0, Lie::Plain), has(0)),
                    (both.random(DType::Float32, &[channels], 1.0, Lie::Plain), has(1)),
                    (both.random(DType::Float32, &[2, 1, channels], 0.5, lie), has(2)),
                    (both.random(DType::Float32, &[1, 3, channels], 0.5, lie), has(3)),
                ];
                let mut inputs = vec![&input];
                inputs.extend(parts.iter().map(|(pair, _)| pair));
                let what =
                    format!("layer norm of {dtype:?}, {channels} channels, parts {used}, {lie:?}");
                both.agree(&what, Distance::Rounded(24.0), &inputs, |stream, inputs| {
                    let part = |at: usize| parts[at].1.then(|| inputs[at + 1].clone());
                    let options = LayerNormOptions {
                        weight: part(0),
                        bias: part(1),
                        scale: part(2),
                        shift: part(3),
                        epsilon: 1e-6,
                    };
                    Ok(vec![operations::layer_norm(stream, &inputs[0], options)?])
                });
            }
        }
    }
}

#[test]
fn rms_norm() {
    let both = both();
    for dtype in FLOATS {
        for channels in CHANNELS {
            for lie in LIES {
                for weight_dtype in [dtype, DType::Float32] {
                    let input = both.random(dtype, &[7, channels], 4.0, lie);
                    let weight = both.random(weight_dtype, &[channels], 2.0, Lie::Plain);
                    let what = format!("rms norm of {dtype:?}, {channels} channels, {lie:?}");
                    both.agree(
                        &what,
                        Distance::Rounded(24.0),
                        &[&input, &weight],
                        |stream, inputs| {
                            let norm = |weight: Option<Tensor>, round_before_weight| {
                                let options =
                                    RmsNormOptions { weight, epsilon: 1e-6, round_before_weight };
                                operations::rms_norm(stream, &inputs[0], options)
                            };
                            Ok(vec![norm(None, false)?, norm(Some(inputs[1].clone()), false)?])
                        },
                    );
                    // Rounded twice, the second time from another side of a step here and there.
                    both.agree(
                        &what,
                        Distance::Rounded(1.0 / unit(dtype)),
                        &[&input, &weight],
                        |stream, inputs| {
                            let weight = Some(inputs[1].clone());
                            let options =
                                RmsNormOptions { weight, epsilon: 1e-6, round_before_weight: true };
                            Ok(vec![operations::rms_norm(stream, &inputs[0], options)?])
                        },
                    );
                }
            }
        }
    }
}

/// The greatest relative error of a rounding, in float32's.
fn unit(dtype: DType) -> f64 {
    match dtype {
        DType::BFloat16 => 2f64.powi(-16),
        DType::Float16 => 2f64.powi(-13),
        _ => 1.0 / 24.0,
    }
}

/// 16-bit floats are rounded at each step, as torch does it: some from another side than the CPU's.
#[test]
fn channel_norm() {
    let both = both();
    for dtype in FLOATS {
        for channels in CHANNELS {
            for activation in [Activation::None, Activation::Silu] {
                for lie in LIES {
                    let input = both.random(dtype, &[1, 2, 3, channels], 3.0, lie);
                    let weight = both.random(dtype, &[channels], 2.0, Lie::Plain);
                    let bias = both.random(dtype, &[channels], 1.0, Lie::Plain);
                    let what =
                        format!("channel norm of {dtype:?}, {channels}, {activation:?}, {lie:?}");
                    both.agree(
                        &what,
                        Distance::Rounded(1.0 / unit(dtype)),
                        &[&input, &weight, &bias],
                        |stream, inputs| {
                            let norm = |bias: Option<Tensor>| {
                                let weight = inputs[1].clone();
                                let options = ChannelNormOptions { weight, bias, activation };
                                operations::channel_norm(stream, &inputs[0], options)
                            };
                            Ok(vec![norm(None)?, norm(Some(inputs[2].clone()))?])
                        },
                    );
                }
            }
        }
    }
}

#[test]
fn rotary() {
    let both = both();
    for dtype in FLOATS {
        for (heads, size) in [(1, 2), (3, 10), (5, 64), (2, 128)] {
            for (lie, angles) in LIES.into_iter().zip([1, 2, 1]) {
                let input = both.random(dtype, &[2, 7, heads, size], 3.0, lie);
                let wide = both.random(dtype, &[2, 7, heads * size], 3.0, lie);
                let weight = both.random(dtype, &[heads * size], 2.0, Lie::Plain);
                let cos = both.random(DType::Float32, &[angles, 7, size / 2], 1.0, lie);
                let sin = both.random(DType::Float32, &[angles, 7, size / 2], 0.9, lie);
                let what = format!("rotary of {dtype:?}, {heads} heads of {size}, {lie:?}");
                both.agree(
                    &what,
                    Distance::Rounded(4.0),
                    &[&input, &cos, &sin],
                    |stream, inputs| {
                        Ok(vec![operations::rotary(stream, &inputs[0], &inputs[1], &inputs[2])?])
                    },
                );
                let inputs = [&wide, &weight, &cos, &sin];
                both.agree(
                    &what,
                    Distance::Rounded(1.0 / unit(dtype)),
                    &inputs,
                    |stream, inputs| {
                        let [input, weight, cos, sin] = inputs else { unreachable!() };
                        let turned = operations::rms_norm_rotary(
                            stream, input, weight, cos, sin, heads, 1e-6,
                        );
                        Ok(vec![turned?])
                    },
                );
            }
        }
    }
}

#[test]
fn gated_residual() {
    let both = both();
    for dtype in FLOATS {
        for lie in LIES {
            for gate in [&[1, 1, 33][..], &[2, 5, 33], &[2, 1, 33], &[1]] {
                let residual = both.random(dtype, &[2, 5, 33], 9.0, lie);
                let update = both.random(dtype, &[2, 5, 33], 3.0, lie);
                let gate = both.random(DType::Float32, gate, 2.0, Lie::Plain);
                let what = format!("gated residual of {dtype:?}, {lie:?}");
                both.agree(
                    &what,
                    Distance::Rounded(2.0),
                    &[&residual, &update, &gate],
                    |stream, inputs| {
                        Ok(vec![operations::gated_residual(
                            stream, &inputs[0], &inputs[1], &inputs[2],
                        )?])
                    },
                );
            }
        }
    }
}
