//! Moving elements: copies, casts, fills, and putting tensors side by side.

use crate::element::{Element, Wide, for_element};
use crate::multiversion::per_instruction_set;
use crate::transpose::copy_transposed;
use crate::walk::{Walk, broadcast, part, span};
use crate::{Cpu, Layout, TensorMut, TensorRef};
use std::mem::MaybeUninit;

/// Bytes that a thread moves at a time.
const GRAIN_BYTES: usize = 64 << 10;

/// Copies `input`, whatever its strides, into `output` of the same shape and its own element type.
///
/// Floats round to nearest even. A float becomes an integer without its fraction, within the
/// integer's range, and NaN becomes 0; integers become narrower ones by their low bits.
pub fn copy(cpu: &Cpu, input: &TensorRef, output: &TensorMut) {
    if input.dtype == output.dtype {
        assert_eq!(input.shape(), output.shape());
        return copy_into(cpu, input, output, 0);
    }
    for_element!(input.dtype, S => for_element!(output.dtype, T => cast::<S, T>(cpu, input, output)));
}

fn cast<S: Element, T: Element>(cpu: &Cpu, input: &TensorRef, output: &TensorMut) {
    let walk =
        Walk::new(output.shape(), [&broadcast(input, output.shape()), &output.layout.strides]);
    let stride = walk.run_strides[0];
    walk.for_each_run(cpu, GRAIN_BYTES / size_of::<T>(), |[from, to], length| {
        // SAFETY: the walk's runs lie within both views and don't overlap in the output.
        let (values, results) =
            unsafe { (span::<S>(input, from, length, stride), part::<T>(output, to, length)) };
        cast_run(cpu.instruction_set, values, stride, results);
    });
}

per_instruction_set! {
    fn cast_run<S: Element, T: Element>(
        values: &[S],
        stride: usize,
        results: &mut [MaybeUninit<T>],
    ) {
        if stride == 1 {
            for (result, value) in results.iter_mut().zip(values) {
                result.write(value.widen().narrow());
            }
        } else {
            for (place, result) in results.iter_mut().enumerate() {
                result.write(values[place * stride].widen().narrow());
            }
        }
    }
}

/// Positions to copy, and where each operand has them.
struct Region<'a> {
    shape: &'a [usize],
    /// The input's strides along `shape`.
    from: &'a [usize],
    /// The output's strides along `shape`.
    to: &'a [usize],
    /// The output element that the first position goes to.
    start: usize,
}

/// Copies `input` into the part of `output` that begins at element `start` and has the input's
/// shape.
fn copy_into(cpu: &Cpu, input: &TensorRef, output: &TensorMut, start: usize) {
    let (shape, whole) = (input.shape(), output.shape());
    assert!(shape.len() == whole.len() && shape.iter().zip(whole).all(|(part, n)| part <= n));
    let region = Region { shape, from: input.strides(), to: &output.layout.strides, start };
    copy_region(cpu, input, output, &region);
}

fn copy_region(cpu: &Cpu, input: &TensorRef, output: &TensorMut, region: &Region) {
    assert_eq!(input.dtype, output.dtype);
    match output.dtype.size() {
        1 => copy_elements::<u8>(cpu, input, output, region),
        2 => copy_elements::<u16>(cpu, input, output, region),
        4 => copy_elements::<u32>(cpu, input, output, region),
        _ => copy_elements::<u64>(cpu, input, output, region),
    }
}

fn copy_elements<T: Copy>(cpu: &Cpu, input: &TensorRef, output: &TensorMut, region: &Region) {
    if region.shape.contains(&0) {
        return;
    }
    let walk = Walk::new(region.shape, [region.from, region.to]);
    // SAFETY: as below.
    let transposed = unsafe {
        let to = output.as_mut_ptr::<T>().add(region.start);
        copy_transposed(cpu, &walk, input.as_ptr::<T>(), to)
    };
    if transposed {
        return;
    }
    let [from_stride, to_stride] = walk.run_strides;
    walk.for_each_run(cpu, GRAIN_BYTES / size_of::<T>(), |[from, to], length| {
        // SAFETY: a region's positions lie within the input; in the output they lie within it and
        // no two share an element.
        unsafe {
            let from = input.as_ptr::<T>().add(from);
            let to = output.as_mut_ptr::<T>().add(region.start + to);
            if from_stride == 1 && to_stride == 1 {
                std::ptr::copy_nonoverlapping(from, to, length);
            } else {
                for place in 0..length {
                    to.add(place * to_stride).write(from.add(place * from_stride).read());
                }
            }
        }
    });
}

/// Fills `output` with `value`, rounded to its element type as [`copy`] rounds a float; integers
/// are exact up to 2⁵³.
pub fn fill(cpu: &Cpu, output: &TensorMut, value: f64) {
    for_element!(output.dtype, T => {
        fill_elements::<T>(cpu, output, <T as Element>::Wide::from_f64(value).narrow());
    });
}

fn fill_elements<T: Element>(cpu: &Cpu, output: &TensorMut, element: T) {
    let walk = Walk::new(output.shape(), [&output.layout.strides]);
    walk.for_each_run(cpu, GRAIN_BYTES / size_of::<T>(), |[to], length| {
        // SAFETY: runs lie within the output and don't overlap.
        unsafe { part::<T>(output, to, length) }.fill(MaybeUninit::new(element));
    });
}

/// Puts `inputs` one after the other along `dim` of `output`: equal element types, and shapes that
/// differ in `dim` alone and add up to the output's there.
pub fn concatenate(cpu: &Cpu, inputs: &[TensorRef], dim: usize, output: &TensorMut) {
    let total: usize = inputs.iter().map(|input| input.shape()[dim]).sum();
    assert_eq!(total, output.shape()[dim]);
    let mut start = 0;
    for input in inputs {
        copy_into(cpu, input, output, start * output.layout.strides[dim]);
        start += input.shape()[dim];
    }
}

/// Copies `input` into `output` from index `before` on, and fills the rest with zeros.
pub fn pad(cpu: &Cpu, input: &TensorRef, before: &[usize], output: &TensorMut) {
    assert_eq!(before.len(), output.shape().len());
    for ((&from, size), whole) in before.iter().zip(input.shape()).zip(output.shape()) {
        assert!(from + size <= *whole);
    }
    fill(cpu, output, 0.0);
    let start = before.iter().zip(&output.layout.strides).map(|(from, stride)| from * stride).sum();
    copy_into(cpu, input, output, start);
}

/// Repeats each element of channels-last video (B, T, H, W, C) `factor` times along height and
/// width, into `output` (B, T, H · factor, W · factor, C).
pub fn upsample_nearest(cpu: &Cpu, input: &TensorRef, factor: usize, output: &TensorMut) {
    let (&[batch, time, height, width, channels], strides) = (input.shape(), input.strides())
    else {
        panic!("upsample_nearest: input has shape {:?}", input.shape());
    };
    let expected = [batch, time, height * factor, width * factor, channels];
    assert_eq!(output.shape(), expected);
    let shape = [batch, time, height, factor, width, factor, channels];
    let region = Region {
        shape: &shape,
        from: &[strides[0], strides[1], strides[2], 0, strides[3], 0, strides[4]],
        to: &Layout::contiguous(&shape).strides,
        start: 0,
    };
    copy_region(cpu, input, output, &region);
}
