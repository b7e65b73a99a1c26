//! Normalisations over the last dimension. Inputs have consecutive elements along it and any other
//! strides; a row's bytes depend on that row and the parameters alone.

use crate::element::{Float, for_float, rounded};
use crate::linear::Activation;
use crate::multiversion::per_instruction_set;
use crate::rows::{Rows, grain, parameter, rows, split, sum};
use crate::unary::{Function, for_activation};
use crate::walk::{Walk, broadcast, part};
use crate::{Cpu, DType, TensorMut, TensorRef};
use std::mem::MaybeUninit;

/// Below this a channel vector's length is taken for this, as `torch.nn.functional.normalize`
/// does.
const SMALLEST_LENGTH: f32 = 1e-12;

/// What [`layer_norm`] does after normalising.
pub struct LayerNorm<'a, 'b> {
    /// (C), of any float type.
    pub weight: Option<&'b TensorRef<'a>>,
    /// (C), of any float type.
    pub bias: Option<&'b TensorRef<'a>>,
    /// `Float32`, repeated to the input's shape, consecutive along a row.
    pub scale: Option<&'b TensorRef<'a>>,
    /// `Float32`, repeated to the input's shape, consecutive along a row.
    pub shift: Option<&'b TensorRef<'a>>,
    /// Added to the variance.
    pub epsilon: f32,
}

/// output = ((x - mean) / √(variance + ε) · weight + bias) · (1 + scale) + shift over each row, in
/// `f32`, rounded once.
pub fn layer_norm(cpu: &Cpu, input: &TensorRef, options: &LayerNorm, output: &TensorMut) {
    for_float!(output.dtype, T => layer_norm_of::<T>(cpu, input, options, output));
}

fn layer_norm_of<T: Float>(cpu: &Cpu, input: &TensorRef, options: &LayerNorm, output: &TensorMut) {
    assert_eq!((input.dtype, input.shape()), (output.dtype, output.shape()));
    let (shape, channels) = split(output);
    if channels == 0 {
        return;
    }
    let affine = (options.weight.is_some() || options.bias.is_some()).then(|| {
        let or = |view: Option<&TensorRef>, otherwise: f32| {
            view.map_or_else(|| vec![otherwise; channels], |view| parameter(view, channels))
        };
        (or(options.weight, 1.0), or(options.bias, 0.0))
    });
    let affine = affine.as_ref().map(|(weight, bias)| (&weight[..], &bias[..]));
    // A missing scale or shift is a row of zeros.
    let zeros = vec![0.0f32; channels];
    let zeros = TensorRef::from_slice(&zeros, &[channels]);
    let modulated = options.scale.is_some() || options.shift.is_some();
    let scale = options.scale.unwrap_or(&zeros);
    let shift = options.shift.unwrap_or(&zeros);
    assert_eq!((scale.dtype, shift.dtype), (DType::Float32, DType::Float32));
    let (scale_strides, shift_strides) =
        (broadcast(scale, output.shape()), broadcast(shift, output.shape()));
    let rank = shape.len();
    let walk = Walk::new(
        shape,
        [
            &input.strides()[..rank],
            &scale_strides[..rank],
            &shift_strides[..rank],
            &output.layout.strides[..rank],
        ],
    );
    let [input_stride, scale_stride, shift_stride, _] = walk.run_strides;
    walk.for_each_run(cpu, grain(channels), |[from, scale_from, shift_from, to], count| {
        // SAFETY: the walk's rows lie within the views and don't overlap in the output.
        unsafe {
            let modulation = modulated.then(|| {
                (
                    rows(scale, scale_from, count, scale_stride, channels),
                    rows(shift, shift_from, count, shift_stride, channels),
                )
            });
            layer_norm_rows::<T>(
                cpu.instruction_set,
                rows(input, from, count, input_stride, channels),
                options.epsilon,
                affine,
                modulation,
                part(output, to, count * channels),
            );
        }
    });
}

per_instruction_set! {
    fn layer_norm_rows<T: Float>(
        input: Rows<T>,
        epsilon: f32,
        affine: Option<(&[f32], &[f32])>,
        modulation: Option<(Rows<f32>, Rows<f32>)>,
        results: &mut [MaybeUninit<T>],
    ) {
        let channels = input.channels();
        for (index, results) in results.chunks_exact_mut(channels).enumerate() {
            let row = input.row(index);
            let mean = sum(row, |x| x) / channels as f32;
            let variance = sum(row, |x| (x - mean) * (x - mean)) / channels as f32;
            let factor = 1.0 / (variance + epsilon).sqrt();
            let modulation = modulation.map(|(scale, shift)| (scale.row(index), shift.row(index)));
            match (affine, modulation) {
                (None, None) => write_row(row, results, |_, x| (x - mean) * factor),
                (Some((weight, bias)), None) => {
                    let (weight, bias) = (&weight[..channels], &bias[..channels]);
                    write_row(row, results, |i, x| (x - mean) * factor * weight[i] + bias[i]);
                }
                (None, Some((scale, shift))) => {
                    let (scale, shift) = (&scale[..channels], &shift[..channels]);
                    write_row(row, results, |i, x| {
                        (x - mean) * factor * (1.0 + scale[i]) + shift[i]
                    });
                }
                (Some((weight, bias)), Some((scale, shift))) => {
                    let (weight, bias) = (&weight[..channels], &bias[..channels]);
                    let (scale, shift) = (&scale[..channels], &shift[..channels]);
                    write_row(row, results, |i, x| {
                        ((x - mean) * factor * weight[i] + bias[i]) * (1.0 + scale[i]) + shift[i]
                    });
                }
            }
        }
    }
}

/// results\[i\] = function(i, row\[i\]), rounded.
#[inline(always)]
fn write_row<T: Float>(
    row: &[T],
    results: &mut [MaybeUninit<T>],
    function: impl Fn(usize, f32) -> f32,
) {
    for ((place, element), result) in row.iter().enumerate().zip(results) {
        result.write(T::from_f32(function(place, element.widen())));
    }
}

/// output = x / √(mean(x²) + ε) · weight over each row, in `f32`. It is rounded at the end, and with
/// `round_before_weight` before the weight comes in too. The weight (C) is of any float type.
pub fn rms_norm(
    cpu: &Cpu,
    input: &TensorRef,
    weight: Option<&TensorRef>,
    epsilon: f32,
    round_before_weight: bool,
    output: &TensorMut,
) {
    assert_eq!((input.dtype, input.shape()), (output.dtype, output.shape()));
    let (shape, channels) = split(output);
    if channels == 0 {
        return;
    }
    let weight = weight.map(|weight| parameter(weight, channels));
    let rank = shape.len();
    let walk = Walk::new(shape, [&input.strides()[..rank], &output.layout.strides[..rank]]);
    let stride = walk.run_strides[0];
    for_float!(output.dtype, T => {
        walk.for_each_run(cpu, grain(channels), |[from, to], count| {
            // SAFETY: the walk's rows lie within the views and don't overlap in the output.
            unsafe {
                rms_norm_rows::<T>(
                    cpu.instruction_set,
                    rows(input, from, count, stride, channels),
                    weight.as_deref(),
                    epsilon,
                    round_before_weight,
                    part(output, to, count * channels),
                );
            }
        });
    });
}

/// 1 / √(mean(x²) + ε).
#[inline(always)]
pub(crate) fn rms_factor<T: Float>(row: &[T], epsilon: f32) -> f32 {
    1.0 / (sum(row, |x| x * x) / row.len() as f32 + epsilon).sqrt()
}

per_instruction_set! {
    fn rms_norm_rows<T: Float>(
        input: Rows<T>,
        weight: Option<&[f32]>,
        epsilon: f32,
        round_before_weight: bool,
        results: &mut [MaybeUninit<T>],
    ) {
        let channels = input.channels();
        for (index, results) in results.chunks_exact_mut(channels).enumerate() {
            let row = input.row(index);
            let factor = rms_factor(row, epsilon);
            match weight.map(|weight| &weight[..channels]) {
                None => write_row(row, results, |_, x| x * factor),
                Some(weight) if round_before_weight => {
                    write_row(row, results, |i, x| rounded::<T>(x * factor) * weight[i]);
                }
                Some(weight) => write_row(row, results, |i, x| x * factor * weight[i]),
            }
        }
    }
}

/// output = activation(x / max(‖x‖₂, 1e-12) · √C · weight + bias) over each row, as diffusers'
/// `WanRMS_norm` with an activation behind it: in `f32`, and for 16-bit floats rounded after each
/// step. Weight and bias (C) are of any float type.
pub fn channel_norm(
    cpu: &Cpu,
    input: &TensorRef,
    weight: &TensorRef,
    bias: Option<&TensorRef>,
    activation: Activation,
    output: &TensorMut,
) {
    for_float!(output.dtype, T => for_activation!(activation, function => {
        channel_norm_of::<T, _>(cpu, input, weight, bias, function, output)
    }));
}

fn channel_norm_of<T: Float, F: Function<f32>>(
    cpu: &Cpu,
    input: &TensorRef,
    weight: &TensorRef,
    bias: Option<&TensorRef>,
    function: F,
    output: &TensorMut,
) {
    assert_eq!((input.dtype, input.shape()), (output.dtype, output.shape()));
    let (shape, channels) = split(output);
    if channels == 0 {
        return;
    }
    let weight = parameter(weight, channels);
    let bias = bias.map_or_else(|| vec![0.0; channels], |bias| parameter(bias, channels));
    let rank = shape.len();
    let walk = Walk::new(shape, [&input.strides()[..rank], &output.layout.strides[..rank]]);
    let stride = walk.run_strides[0];
    walk.for_each_run(cpu, grain(channels), |[from, to], count| {
        // SAFETY: the walk's rows lie within the views and don't overlap in the output.
        unsafe {
            channel_norm_rows::<T, F>(
                cpu.instruction_set,
                rows(input, from, count, stride, channels),
                (&weight, &bias),
                function,
                part(output, to, count * channels),
            );
        }
    });
}

per_instruction_set! {
    fn channel_norm_rows<T: Float, F: Function<f32>>(
        input: Rows<T>,
        affine: (&[f32], &[f32]),
        function: F,
        results: &mut [MaybeUninit<T>],
    ) {
        let channels = input.channels();
        let (weight, bias) = (&affine.0[..channels], &affine.1[..channels]);
        let root = (channels as f64).sqrt() as f32;
        for (index, results) in results.chunks_exact_mut(channels).enumerate() {
            let row = input.row(index);
            let length = sum(row, |x| x * x).sqrt();
            // A NaN length stays.
            let length = if length < SMALLEST_LENGTH { SMALLEST_LENGTH } else { length };
            // A loop, not a closure as elsewhere: one of this length might not be inlined, and would
            // then be compiled for the narrowest instruction set.
            let parameters = weight.iter().zip(bias);
            for ((element, result), (weight, bias)) in row.iter().zip(results).zip(parameters) {
                let x = rounded::<T>(rounded::<T>(element.widen() / length) * root);
                let x = rounded::<T>(rounded::<T>(x * weight) + bias);
                result.write(T::from_f32(function.apply(x)));
            }
        }
    }
}
