//! Rotary position embedding (Su et al. 2021, "RoFormer") of interleaved pairs, as diffusers' Wan
//! transformer applies it: (x₀, x₁) → (x₀ cos - x₁ sin, x₀ sin + x₁ cos).

use crate::element::{Float, for_float, rounded};
use crate::multiversion::per_instruction_set;
use crate::normalization::rms_factor;
use crate::rows::{Rows, grain, parameter, rows};
use crate::walk::{Walk, broadcast, part};
use crate::{Cpu, DType, TensorMut, TensorRef};
use std::mem::MaybeUninit;

/// Rotates `input` (B, S, H, D) into `output` of that shape, in `f32`, rounded once.
///
/// The input has consecutive elements along D and any other strides; `cos` and `sin` are `Float32`,
/// repeated to (B, S, D / 2), consecutive along the last dimension.
pub fn rotary(cpu: &Cpu, input: &TensorRef, cos: &TensorRef, sin: &TensorRef, output: &TensorMut) {
    assert_eq!((input.dtype, input.shape()), (output.dtype, output.shape()));
    let &[batch, length, heads, size] = output.shape() else {
        panic!("rotary: output has shape {:?}", output.shape());
    };
    assert!(size.is_multiple_of(2), "rotary: rows of {size} elements are no pairs");
    if size == 0 {
        return;
    }
    let angles = Angles::new(cos, sin, [batch, length, size / 2]);
    let angle_strides = angles.strides.each_ref().map(|strides| [strides[0], strides[1], 0]);
    let walk = Walk::new(
        &[batch, length, heads],
        [&input.strides()[..3], &output.layout.strides[..3], &angle_strides[0], &angle_strides[1]],
    );
    let [stride, _, cos_stride, sin_stride] = walk.run_strides;
    for_float!(output.dtype, T => {
        walk.for_each_run(cpu, grain(size), |[from, to, cos_from, sin_from], count| {
            // SAFETY: the walk's rows lie within the views and don't overlap in the output.
            unsafe {
                rotary_rows::<T>(
                    cpu.instruction_set,
                    rows(input, from, count, stride, size),
                    rows(angles.cos, cos_from, count, cos_stride, size / 2),
                    rows(angles.sin, sin_from, count, sin_stride, size / 2),
                    part(output, to, count * size),
                );
            }
        });
    });
}

/// The two tables, checked, with their strides along (B, S, D / 2).
struct Angles<'a, 'b> {
    cos: &'b TensorRef<'a>,
    sin: &'b TensorRef<'a>,
    strides: [Vec<usize>; 2],
}

impl<'a, 'b> Angles<'a, 'b> {
    fn new(cos: &'b TensorRef<'a>, sin: &'b TensorRef<'a>, shape: [usize; 3]) -> Self {
        assert_eq!((cos.dtype, sin.dtype), (DType::Float32, DType::Float32));
        let strides = [broadcast(cos, &shape), broadcast(sin, &shape)];
        assert!(shape[2] <= 1 || strides.iter().all(|strides| strides[2] == 1));
        Angles { cos, sin, strides }
    }
}

per_instruction_set! {
    fn rotary_rows<T: Float>(
        input: Rows<T>,
        cos: Rows<f32>,
        sin: Rows<f32>,
        results: &mut [MaybeUninit<T>],
    ) {
        for (index, results) in results.chunks_exact_mut(input.channels()).enumerate() {
            let pairs = input.row(index).as_chunks::<2>().0.iter().zip(results.as_chunks_mut().0);
            let angles = cos.row(index).iter().zip(sin.row(index));
            for ((pair, result), (cos, sin)) in pairs.zip(angles) {
                rotate(pair[0].widen(), pair[1].widen(), *cos, *sin, result);
            }
        }
    }
}

#[inline(always)]
fn rotate<T: Float>(x0: f32, x1: f32, cos: f32, sin: f32, result: &mut [MaybeUninit<T>; 2]) {
    result[0].write(T::from_f32(x0 * cos - x1 * sin));
    result[1].write(T::from_f32(x0 * sin + x1 * cos));
}

/// [`crate::normalization::rms_norm`] over all heads of `input` (B, S, H · D), rounded, then
/// [`rotary`] into `output` (B, S, H, D): the bytes of the two, in one pass over memory. The weight
/// (H · D) is of any float type.
pub fn rms_norm_rotary(
    cpu: &Cpu,
    input: &TensorRef,
    weight: &TensorRef,
    epsilon: f32,
    cos: &TensorRef,
    sin: &TensorRef,
    output: &TensorMut,
) {
    let &[batch, length, heads, size] = output.shape() else {
        panic!("rms_norm_rotary: output has shape {:?}", output.shape());
    };
    assert!(size.is_multiple_of(2), "rms_norm_rotary: heads of {size} elements are no pairs");
    let channels = heads * size;
    assert_eq!((input.dtype, input.shape()), (output.dtype, &[batch, length, channels][..]));
    if channels == 0 {
        return;
    }
    let weight = parameter(weight, channels);
    let angles = Angles::new(cos, sin, [batch, length, size / 2]);
    let walk = Walk::new(
        &[batch, length],
        [
            &input.strides()[..2],
            &output.layout.strides[..2],
            &angles.strides[0][..2],
            &angles.strides[1][..2],
        ],
    );
    let [stride, _, cos_stride, sin_stride] = walk.run_strides;
    for_float!(output.dtype, T => {
        walk.for_each_run(cpu, grain(channels), |[from, to, cos_from, sin_from], count| {
            // SAFETY: the walk's rows lie within the views and don't overlap in the output.
            unsafe {
                rms_norm_rotary_rows::<T>(
                    cpu.instruction_set,
                    rows(input, from, count, stride, channels),
                    (&weight, epsilon),
                    rows(angles.cos, cos_from, count, cos_stride, size / 2),
                    rows(angles.sin, sin_from, count, sin_stride, size / 2),
                    part(output, to, count * channels),
                );
            }
        });
    });
}

per_instruction_set! {
    fn rms_norm_rotary_rows<T: Float>(
        input: Rows<T>,
        norm: (&[f32], f32),
        cos: Rows<f32>,
        sin: Rows<f32>,
        results: &mut [MaybeUninit<T>],
    ) {
        let (weight, epsilon) = norm;
        let size = 2 * cos.channels();
        for (index, results) in results.chunks_exact_mut(input.channels()).enumerate() {
            let row = input.row(index);
            let factor = rms_factor(row, epsilon);
            let heads = row.chunks_exact(size).zip(weight.chunks_exact(size));
            for ((head, weight), results) in heads.zip(results.chunks_exact_mut(size)) {
                let pairs = head.as_chunks::<2>().0.iter().zip(weight.as_chunks::<2>().0);
                let angles = cos.row(index).iter().zip(sin.row(index));
                let pairs = pairs.zip(results.as_chunks_mut().0).zip(angles);
                for (((pair, weight), result), (cos, sin)) in pairs {
                    let x0 = rounded::<T>(pair[0].widen() * factor * weight[0]);
                    let x1 = rounded::<T>(pair[1].widen() * factor * weight[1]);
                    rotate(x0, x1, *cos, *sin, result);
                }
            }
        }
    }
}
