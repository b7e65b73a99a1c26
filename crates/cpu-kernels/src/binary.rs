//! Arithmetic on pairs of elements.

use crate::element::{Element, Wide, for_element};
use crate::multiversion::per_instruction_set;
use crate::walk::{Walk, broadcast, part, span};
use crate::{Cpu, TensorMut, TensorRef};
use std::mem::MaybeUninit;

/// Elements that a thread computes at a time.
const GRAIN: usize = 16 << 10;

/// What [`binary`] and [`binary_scalar`] compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BinaryOperation {
    /// left + right.
    Add,
    /// left - right.
    Subtract,
    /// left · right.
    Multiply,
    /// left / right, of floats alone.
    Divide,
    /// The larger of the two; NaN where either is.
    Maximum,
    /// The smaller of the two; NaN where either is.
    Minimum,
}

impl BinaryOperation {
    /// Every operation, in declaration order.
    pub const ALL: [BinaryOperation; 6] = [
        BinaryOperation::Add,
        BinaryOperation::Subtract,
        BinaryOperation::Multiply,
        BinaryOperation::Divide,
        BinaryOperation::Maximum,
        BinaryOperation::Minimum,
    ];
}

/// A [`BinaryOperation`] as a type, on elements widened to `W`.
trait Function<W: Wide>: Copy + Send + Sync {
    fn apply(left: W, right: W) -> W;
}

macro_rules! functions {
    ($($name:ident: |$left:ident, $right:ident| $float:expr, $integer:expr;)+) => {$(
        #[derive(Clone, Copy)]
        struct $name;

        impl Function<f32> for $name {
            #[inline(always)]
            fn apply($left: f32, $right: f32) -> f32 {
                $float
            }
        }

        impl Function<i64> for $name {
            #[inline(always)]
            fn apply($left: i64, $right: i64) -> i64 {
                $integer
            }
        }
    )+};
}

functions! {
    Add: |left, right| left + right, left.wrapping_add(right);
    Subtract: |left, right| left - right, left.wrapping_sub(right);
    Multiply: |left, right| left * right, left.wrapping_mul(right);
    // `binary` lets no integer come here.
    Divide: |left, right| left / right, left.wrapping_div(right);
    Maximum: |left, right| if left > right || left.is_nan() { left } else { right }, left.max(right);
    Minimum: |left, right| if left < right || left.is_nan() { left } else { right }, left.min(right);
}

/// Evaluates an expression with `$function` standing for an operation's type.
macro_rules! for_function {
    ($operation:expr, $function:ident => $body:expr) => {
        for_function!($operation, $function => $body, Add Subtract Multiply Divide Maximum Minimum)
    };
    ($operation:expr, $function:ident => $body:expr, $($name:ident)+) => {
        match $operation {
            $(BinaryOperation::$name => {
                type $function = $name;
                $body
            })+
        }
    };
}

/// output = left ∘ right, both of the output's element type and repeated to its shape by the rules
/// of broadcasting. 16-bit floats are computed in `f32` and rounded once; integers wrap around.
///
/// # Panics
/// For the division of integers.
pub fn binary(
    cpu: &Cpu,
    operation: BinaryOperation,
    left: &TensorRef,
    right: &TensorRef,
    output: &TensorMut,
) {
    check(operation, left, output);
    assert_eq!(right.dtype, output.dtype);
    for_element!(output.dtype, T => for_function!(operation, F => {
        pairs::<T, F>(cpu, left, right, output)
    }));
}

/// output = left ∘ right for one number, which floats round to `f32` and integers take without its
/// fraction; otherwise as [`binary`].
///
/// # Panics
/// For the division of integers.
pub fn binary_scalar(
    cpu: &Cpu,
    operation: BinaryOperation,
    left: &TensorRef,
    right: f64,
    output: &TensorMut,
) {
    check(operation, left, output);
    for_element!(output.dtype, T => {
        let right = <T as Element>::Wide::from_f64(right);
        for_function!(operation, F => with_scalar::<T, F>(cpu, left, right, output));
    });
}

fn check(operation: BinaryOperation, left: &TensorRef, output: &TensorMut) {
    assert_eq!(left.dtype, output.dtype);
    assert!(operation != BinaryOperation::Divide || output.dtype.is_float());
}

fn pairs<T: Element, F: Function<T::Wide>>(
    cpu: &Cpu,
    left: &TensorRef,
    right: &TensorRef,
    output: &TensorMut,
) {
    let shape = output.shape();
    let operands = [&broadcast(left, shape)[..], &broadcast(right, shape), &output.layout.strides];
    let walk = Walk::new(shape, operands);
    let [left_stride, right_stride, _] = walk.run_strides;
    walk.for_each_run(cpu, GRAIN, |[left_from, right_from, to], length| {
        // SAFETY: the walk's runs lie within the views and don't overlap in the output.
        let (lefts, rights, results) = unsafe {
            (
                span::<T>(left, left_from, length, left_stride),
                span::<T>(right, right_from, length, right_stride),
                part::<T>(output, to, length),
            )
        };
        pair_run::<T, F>(
            cpu.instruction_set,
            (lefts, left_stride),
            (rights, right_stride),
            results,
        );
    });
}

fn with_scalar<T: Element, F: Function<T::Wide>>(
    cpu: &Cpu,
    left: &TensorRef,
    right: T::Wide,
    output: &TensorMut,
) {
    let shape = output.shape();
    let walk = Walk::new(shape, [&broadcast(left, shape), &output.layout.strides]);
    let stride = walk.run_strides[0];
    walk.for_each_run(cpu, GRAIN, |[from, to], length| {
        // SAFETY: the walk's runs lie within the views and don't overlap in the output.
        let (lefts, results) =
            unsafe { (span::<T>(left, from, length, stride), part::<T>(output, to, length)) };
        scalar_run::<T, F>(cpu.instruction_set, (lefts, stride), right, results);
    });
}

per_instruction_set! {
    /// One run of elements, each operand with its stride.
    fn pair_run<T: Element, F: Function<T::Wide>>(
        left: (&[T], usize),
        right: (&[T], usize),
        results: &mut [MaybeUninit<T>],
    ) {
        let (left, left_stride) = left;
        let (right, right_stride) = right;
        match (left_stride, right_stride) {
            (1, 1) => {
                for ((result, left), right) in results.iter_mut().zip(left).zip(right) {
                    result.write(F::apply(left.widen(), right.widen()).narrow());
                }
            }
            (1, 0) => {
                let right = right[0].widen();
                for (result, left) in results.iter_mut().zip(left) {
                    result.write(F::apply(left.widen(), right).narrow());
                }
            }
            (0, 1) => {
                let left = left[0].widen();
                for (result, right) in results.iter_mut().zip(right) {
                    result.write(F::apply(left, right.widen()).narrow());
                }
            }
            _ => {
                for (place, result) in results.iter_mut().enumerate() {
                    let (left, right) = (left[place * left_stride], right[place * right_stride]);
                    result.write(F::apply(left.widen(), right.widen()).narrow());
                }
            }
        }
    }

    /// One run of elements with a stride, and one number.
    fn scalar_run<T: Element, F: Function<T::Wide>>(
        left: (&[T], usize),
        right: T::Wide,
        results: &mut [MaybeUninit<T>],
    ) {
        let (left, stride) = left;
        if stride == 1 {
            for (result, left) in results.iter_mut().zip(left) {
                result.write(F::apply(left.widen(), right).narrow());
            }
        } else {
            for (place, result) in results.iter_mut().enumerate() {
                result.write(F::apply(left[place * stride].widen(), right).narrow());
            }
        }
    }
}
