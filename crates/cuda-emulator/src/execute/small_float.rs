//! Arithmetic of float16 and bfloat16, single and in pairs.

use std::marker::PhantomData;

use crate::ptx::{Instruction, PtxError};

use super::decoder::{Decoder, kind};
use super::float::{maximum, minimum};
use super::half::sum_to_odd;
use super::step::{Binary, Ternary, Unary};
use super::value::{Brain, Half, Small, Two, Value};

/// Flags of these instructions: subnormal numbers are 0.
const FTZ: u32 = 1;
/// The result is kept within 0 and 1.
const SAT: u32 = 2;
/// Of a minimum or maximum: not-a-number wins.
const NAN: u32 = 4;
/// Negative results are 0.
const RELU: u32 = 8;

/// The nearest small number to a float64 that is exact or rounded to odd.
#[inline(always)]
pub fn nearest<S: Small>(value: f64) -> S {
    let near = value as f32;
    // Rounded to odd once more, so that the last rounding is the only one that counts.
    let error = value - f64::from(near);
    let inexact = error.abs() > 0.0 && near.is_finite() && near != 0.0;
    let away = (error > 0.0) == (near > 0.0);
    let bits = near.to_bits();
    let odd = if away { bits.wrapping_add(1) } else { bits.wrapping_sub(1) };
    S::from_f32(f32::from_bits(if inexact && bits & 1 == 0 { odd } else { bits }))
}

#[inline(always)]
fn flush<S: Small, const FLAGS: u32>(value: S) -> S {
    let exponent = S::NAN >> S::FRACTION << S::FRACTION;
    let zero = FLAGS & FTZ != 0 && value.bits() & exponent == 0;
    if zero { S::from_bits(value.bits() & 0x8000) } else { value }
}

#[inline(always)]
fn finish<S: Small, const FLAGS: u32>(value: S) -> S {
    let value = flush::<S, FLAGS>(value);
    let number = value.to_f32();
    if number.is_nan() {
        return if FLAGS & SAT != 0 { S::from_bits(0) } else { S::from_bits(S::NAN) };
    }
    if FLAGS & SAT != 0 {
        return S::from_f32(number.clamp(0.0, 1.0) + 0.0);
    }
    if FLAGS & RELU != 0 && number <= 0.0 { S::from_bits(0) } else { value }
}

/// What happens to one number, or to each of a pair.
trait Operation {
    fn apply<S: Small>(a: S, b: S, c: S) -> S;
}

/// Numbers that operations work on: one, or two.
trait Numbers: Value {
    fn map<O: Operation>(a: Self, b: Self, c: Self) -> Self;
}

macro_rules! numbers {
    ($($type:ty),+) => {$(
        impl Numbers for $type {
            #[inline(always)]
            fn map<O: Operation>(a: $type, b: $type, c: $type) -> $type {
                O::apply(a, b, c)
            }
        }
    )+};
}

numbers!(Half, Brain);

impl<S: Small> Numbers for Two<S> {
    #[inline(always)]
    fn map<O: Operation>(a: Two<S>, b: Two<S>, c: Two<S>) -> Two<S> {
        Two(O::apply(a.0, b.0, c.0), O::apply(a.1, b.1, c.1))
    }
}

macro_rules! operations {
    ($($name:ident($a:ident, $b:ident, $c:ident) = $body:expr;)+) => {$(
        struct $name<const FLAGS: u32>;

        impl<const FLAGS: u32> Operation for $name<FLAGS> {
            #[inline(always)]
            fn apply<S: Small>(a: S, b: S, c: S) -> S {
                let $a = flush::<S, FLAGS>(a).to_f32();
                let $b = flush::<S, FLAGS>(b).to_f32();
                let $c = flush::<S, FLAGS>(c).to_f32();
                let _ = ($b, $c);
                finish::<S, FLAGS>($body)
            }
        }
    )+};
}

operations! {
    // float32 has more than twice the bits and two more: rounding its sum again is exact.
    Add(a, b, c) = S::from_f32(a + b);
    Subtract(a, b, c) = S::from_f32(a - b);
    Multiply(a, b, c) = nearest(f64::from(a) * f64::from(b));
    MultiplyAdd(a, b, c) = nearest(sum_to_odd(f64::from(a) * f64::from(b), f64::from(c)));
    Minimum(a, b, c) = S::from_f32(if FLAGS & NAN != 0 && (a.is_nan() || b.is_nan()) { f32::NAN } else { minimum(a, b) });
    Maximum(a, b, c) = S::from_f32(if FLAGS & NAN != 0 && (a.is_nan() || b.is_nan()) { f32::NAN } else { maximum(a, b) });
}

struct Absolute<const FLAGS: u32>;

impl<const FLAGS: u32> Operation for Absolute<FLAGS> {
    #[inline(always)]
    fn apply<S: Small>(a: S, _b: S, _c: S) -> S {
        S::from_bits(flush::<S, FLAGS>(a).bits() & 0x7fff)
    }
}

struct Negate<const FLAGS: u32>;

impl<const FLAGS: u32> Operation for Negate<FLAGS> {
    #[inline(always)]
    fn apply<S: Small>(a: S, _b: S, _c: S) -> S {
        S::from_bits(flush::<S, FLAGS>(a).bits() ^ 0x8000)
    }
}

/// An operation on every lane's numbers.
struct On<O, N>(PhantomData<(O, N)>);

impl<O: Operation + 'static, N: Numbers> Unary for On<O, N> {
    type A = N;
    type D = N;

    #[inline(always)]
    fn apply(a: N) -> N {
        N::map::<O>(a, a, a)
    }
}

impl<O: Operation + 'static, N: Numbers> Binary for On<O, N> {
    type A = N;
    type B = N;
    type D = N;

    #[inline(always)]
    fn apply(a: N, b: N) -> N {
        N::map::<O>(a, b, b)
    }
}

impl<O: Operation + 'static, N: Numbers> Ternary for On<O, N> {
    type A = N;
    type B = N;
    type C = N;
    type D = N;

    #[inline(always)]
    fn apply(a: N, b: N, c: N) -> N {
        N::map::<O>(a, b, c)
    }
}

macro_rules! by_type {
    ($decoder:ident, $i:ident, $method:ident, $operation:ty) => {
        match kind($i) {
            "f16" => $decoder.$method::<On<$operation, Half>>($i),
            "f16x2" => $decoder.$method::<On<$operation, Two<Half>>>($i),
            "bf16" => $decoder.$method::<On<$operation, Brain>>($i),
            _ => $decoder.$method::<On<$operation, Two<Brain>>>($i),
        }
    };
}

macro_rules! by_flags {
    ($decoder:ident, $i:ident, $flags:ident, $method:ident, $operation:ident, [$($flag:literal),+]) => {
        match $flags {
            $($flag => by_type!($decoder, $i, $method, $operation<$flag>),)+
            _ => Err($decoder.unknown($i)),
        }
    };
}

/// Decodes the arithmetic of floats of 16 bits.
pub fn decode(decoder: &mut Decoder, i: &Instruction) -> Result<(), PtxError> {
    let mut modifiers: Vec<&str> = i.modifiers().collect();
    modifiers.pop();
    let mut flags = 0;
    modifiers.retain(|modifier| {
        flags |= match *modifier {
            "ftz" => FTZ,
            "sat" => SAT,
            "NaN" => NAN,
            "relu" => RELU,
            _ => return true,
        };
        false
    });
    match (i.name(), &modifiers[..]) {
        ("add", [] | ["rn"]) => by_flags!(decoder, i, flags, binary, Add, [0, 1, 2, 3]),
        ("sub", [] | ["rn"]) => by_flags!(decoder, i, flags, binary, Subtract, [0, 1, 2, 3]),
        ("mul", [] | ["rn"]) => by_flags!(decoder, i, flags, binary, Multiply, [0, 1, 2, 3]),
        ("fma", ["rn"]) => {
            by_flags!(decoder, i, flags, ternary, MultiplyAdd, [0, 1, 2, 3, 8, 9])
        }
        ("min", []) => by_flags!(decoder, i, flags, binary, Minimum, [0, 1, 4, 5]),
        ("max", []) => by_flags!(decoder, i, flags, binary, Maximum, [0, 1, 4, 5]),
        ("abs", []) => by_flags!(decoder, i, flags, unary, Absolute, [0, 1]),
        ("neg", []) => by_flags!(decoder, i, flags, unary, Negate, [0, 1]),
        _ => Err(decoder.unknown(i)),
    }
}
