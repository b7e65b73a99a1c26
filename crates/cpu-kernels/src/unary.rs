//! Functions of one element.

use crate::element::{Element, Wide, for_element, for_float};
use crate::linear::Activation;
use crate::math::{gelu, gelu_tanh, quick_gelu, silu};
use crate::multiversion::per_instruction_set;
use crate::walk::{Walk, part, span};
use crate::{Cpu, TensorMut, TensorRef};
use std::mem::MaybeUninit;

/// Elements that a thread computes at a time.
const GRAIN: usize = 16 << 10;

/// A function of an element widened to `W`.
pub(crate) trait Function<W: Wide>: Copy + Send + Sync {
    fn apply(self, value: W) -> W;
}

macro_rules! activations {
    ($($name:ident: $function:expr;)+) => {$(
        #[derive(Clone, Copy)]
        pub(crate) struct $name;

        impl Function<f32> for $name {
            #[inline(always)]
            fn apply(self, value: f32) -> f32 {
                $function(value)
            }
        }
    )+};
}

activations! {
    Identity: |value| value;
    Silu: silu;
    Gelu: gelu;
    GeluTanh: gelu_tanh;
    QuickGelu: quick_gelu;
}

/// Evaluates an expression with `$function` standing for an [`Activation`] as a [`Function`].
macro_rules! for_activation {
    ($kind:expr, $function:ident => $body:expr) => {
        match $kind {
            $crate::linear::Activation::None => {
                let $function = $crate::unary::Identity;
                $body
            }
            $crate::linear::Activation::Silu => {
                let $function = $crate::unary::Silu;
                $body
            }
            $crate::linear::Activation::Gelu => {
                let $function = $crate::unary::Gelu;
                $body
            }
            $crate::linear::Activation::GeluTanh => {
                let $function = $crate::unary::GeluTanh;
                $body
            }
            $crate::linear::Activation::QuickGelu => {
                let $function = $crate::unary::QuickGelu;
                $body
            }
        }
    };
}

pub(crate) use for_activation;

/// Holds a value between two bounds; NaN stays.
#[derive(Clone, Copy)]
struct Clamp<W> {
    low: W,
    high: W,
}

impl<W: Wide + PartialOrd> Function<W> for Clamp<W> {
    #[inline(always)]
    fn apply(self, value: W) -> W {
        let value = if value > self.high { self.high } else { value };
        if value < self.low { self.low } else { value }
    }
}

/// output = activation(input) for floats, computed in `f32` and rounded once.
pub fn activation(cpu: &Cpu, kind: Activation, input: &TensorRef, output: &TensorMut) {
    for_float!(output.dtype, T => for_activation!(kind, function => {
        map::<T, _>(cpu, function, input, output)
    }));
}

/// output = input held between `low` and `high`; NaN stays. Bounds of floats are rounded to `f32`
/// and the result to the element type; those of integers lose their fraction.
pub fn clamp(cpu: &Cpu, input: &TensorRef, low: f64, high: f64, output: &TensorMut) {
    for_element!(output.dtype, T => {
        type W = <T as Element>::Wide;
        let bounds = Clamp { low: W::from_f64(low), high: W::from_f64(high) };
        map::<T, _>(cpu, bounds, input, output);
    });
}

fn map<T: Element, F: Function<T::Wide>>(
    cpu: &Cpu,
    function: F,
    input: &TensorRef,
    output: &TensorMut,
) {
    assert_eq!((input.dtype, input.shape()), (output.dtype, output.shape()));
    let shape = output.shape();
    let walk = Walk::new(shape, [input.strides(), &output.layout.strides]);
    let stride = walk.run_strides[0];
    walk.for_each_run(cpu, GRAIN, |[from, to], length| {
        // SAFETY: the walk's runs lie within the views and don't overlap in the output.
        let (values, results) =
            unsafe { (span::<T>(input, from, length, stride), part::<T>(output, to, length)) };
        map_run::<T, F>(cpu.instruction_set, function, (values, stride), results);
    });
}

per_instruction_set! {
    /// One run of elements with a stride.
    fn map_run<T: Element, F: Function<T::Wide>>(
        function: F,
        values: (&[T], usize),
        results: &mut [MaybeUninit<T>],
    ) {
        let (values, stride) = values;
        if stride == 1 {
            for (result, value) in results.iter_mut().zip(values) {
                result.write(function.apply(value.widen()).narrow());
            }
        } else {
            for (place, result) in results.iter_mut().enumerate() {
                result.write(function.apply(values[place * stride].widen()).narrow());
            }
        }
    }
}
