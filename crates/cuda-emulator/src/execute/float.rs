//! Arithmetic of float32 and float64.

use crate::ptx::{Instruction, PtxError};

use super::decoder::{Decoder, kind};
use super::half::{Rounding, quotient_to_odd, root_to_odd, round, sum_to_odd};
use super::step::{Binary, Ternary, Unary};

/// Flags of the float32 instructions: subnormal numbers are 0.
pub const FTZ: u32 = 1;
/// The result is kept within 0 and 1.
pub const SAT: u32 = 2;
/// Of a minimum or maximum: not-a-number wins.
pub const NAN: u32 = 4;

/// A subnormal number's zero, where `FLAGS` has [`FTZ`].
#[inline(always)]
pub fn flush<const FLAGS: u32>(value: f32) -> f32 {
    let bits = value.to_bits();
    let zero = FLAGS & FTZ != 0 && bits & 0x7f80_0000 == 0;
    f32::from_bits(if zero { bits & 0x8000_0000 } else { bits })
}

/// The not-a-number that instructions of float32 make, for any.
#[inline(always)]
pub fn canonical(value: f32) -> f32 {
    // By its bits: the compiler takes one not-a-number for another.
    let bits = value.to_bits();
    f32::from_bits(if bits & 0x7fff_ffff > 0x7f80_0000 { 0x7fff_ffff } else { bits })
}

/// A result as `FLAGS` want it.
#[inline(always)]
pub fn finish<const FLAGS: u32>(value: f32) -> f32 {
    let value = flush::<FLAGS>(canonical(value));
    if FLAGS & SAT == 0 {
        return value;
    }
    // Not-a-number becomes 0, as does -0.
    if value > 0.0 { if value < 1.0 { value } else { 1.0 } } else { 0.0 }
}

/// The lesser number; one that is no number is passed over, and -0 is less than +0.
#[inline(always)]
pub fn minimum(a: f32, b: f32) -> f32 {
    let equal = f32::from_bits(a.to_bits() | b.to_bits());
    let lesser = if a < b { a } else { b };
    let number = if a == b { equal } else { lesser };
    if a.is_nan() {
        b
    } else if b.is_nan() {
        a
    } else {
        number
    }
}

/// The greater number; one that is no number is passed over, and -0 is less than +0.
#[inline(always)]
pub fn maximum(a: f32, b: f32) -> f32 {
    let equal = f32::from_bits(a.to_bits() & b.to_bits());
    let greater = if a > b { a } else { b };
    let number = if a == b { equal } else { greater };
    if a.is_nan() {
        b
    } else if b.is_nan() {
        a
    } else {
        number
    }
}

#[inline(always)]
fn or_nan<const FLAGS: u32>(a: f32, b: f32, result: f32) -> f32 {
    if FLAGS & NAN != 0 && (a.is_nan() || b.is_nan()) { f32::NAN } else { result }
}

macro_rules! float32 {
    ($(unary $name:ident($a:ident) = $body:expr;)+) => {$(
        struct $name<const FLAGS: u32>;

        impl<const FLAGS: u32> Unary for $name<FLAGS> {
            type A = f32;
            type D = f32;

            #[inline(always)]
            fn apply(a: f32) -> f32 {
                let $a = flush::<FLAGS>(a);
                finish::<FLAGS>($body)
            }
        }
    )+};
    ($(binary $name:ident($a:ident, $b:ident) = $body:expr;)+) => {$(
        struct $name<const FLAGS: u32>;

        impl<const FLAGS: u32> Binary for $name<FLAGS> {
            type A = f32;
            type B = f32;
            type D = f32;

            #[inline(always)]
            fn apply(a: f32, b: f32) -> f32 {
                let ($a, $b) = (flush::<FLAGS>(a), flush::<FLAGS>(b));
                finish::<FLAGS>($body)
            }
        }
    )+};
}

float32! {
    unary Reciprocal(a) = 1.0 / a;
    unary Root(a) = a.sqrt();
    unary ReciprocalRoot(a) = (1.0 / f64::from(a).sqrt()) as f32;
    unary Absolute(a) = a.abs();
}

float32! {
    binary Add(a, b) = a + b;
    binary Subtract(a, b) = a - b;
    binary Multiply(a, b) = a * b;
    binary Divide(a, b) = a / b;
    binary Minimum(a, b) = or_nan::<FLAGS>(a, b, minimum(a, b));
    binary Maximum(a, b) = or_nan::<FLAGS>(a, b, maximum(a, b));
}

struct MultiplyAdd<const FLAGS: u32>;

impl<const FLAGS: u32> Ternary for MultiplyAdd<FLAGS> {
    type A = f32;
    type B = f32;
    type C = f32;
    type D = f32;

    #[inline(always)]
    fn apply(a: f32, b: f32, c: f32) -> f32 {
        let (a, b, c) = (flush::<FLAGS>(a), flush::<FLAGS>(b), flush::<FLAGS>(c));
        finish::<FLAGS>(a.mul_add(b, c))
    }
}

/// Only the sign changes, of a not-a-number too.
struct Negate<const FLAGS: u32>;

impl<const FLAGS: u32> Unary for Negate<FLAGS> {
    type A = f32;
    type D = f32;

    #[inline(always)]
    fn apply(a: f32) -> f32 {
        -flush::<FLAGS>(a)
    }
}

/// `b` with the sign of `a`.
struct CopySign;

impl Binary for CopySign {
    type A = f32;
    type B = f32;
    type D = f32;

    #[inline(always)]
    fn apply(a: f32, b: f32) -> f32 {
        b.copysign(a)
    }
}

/// Rounded towards zero, minus or plus infinity: the modes 1, 2 and 3.
fn directed<const MODE: u32, const FLAGS: u32>(exact: f64, cancelled: bool) -> f32 {
    let rounding = match MODE {
        1 => Rounding::Zero,
        2 => Rounding::Down,
        _ => Rounding::Up,
    };
    // Numbers that cancel leave -0 where rounding goes down.
    let exact = if MODE == 2 && cancelled && exact == 0.0 { -0.0 } else { exact };
    finish::<FLAGS>(round(exact, 23, -126, rounding) as f32)
}

/// Operations with a direction of rounding: the exact result, or one rounded to odd.
macro_rules! directed {
    ($($name:ident($a:ident, $b:ident, $c:ident) = $exact:expr, $cancelled:expr;)+) => {$(
        struct $name<const MODE: u32, const FLAGS: u32>;

        impl<const MODE: u32, const FLAGS: u32> $name<MODE, FLAGS> {
            fn of(a: f32, b: f32, c: f32) -> f32 {
                let [$a, $b, $c] = [a, b, c].map(|value| f64::from(flush::<FLAGS>(value)));
                let _ = ($b, $c);
                directed::<MODE, FLAGS>($exact, $cancelled)
            }
        }

        impl<const MODE: u32, const FLAGS: u32> Unary for $name<MODE, FLAGS> {
            type A = f32;
            type D = f32;

            fn apply(a: f32) -> f32 {
                Self::of(a, 0.0, 0.0)
            }
        }

        impl<const MODE: u32, const FLAGS: u32> Binary for $name<MODE, FLAGS> {
            type A = f32;
            type B = f32;
            type D = f32;

            fn apply(a: f32, b: f32) -> f32 {
                Self::of(a, b, 0.0)
            }
        }

        impl<const MODE: u32, const FLAGS: u32> Ternary for $name<MODE, FLAGS> {
            type A = f32;
            type B = f32;
            type C = f32;
            type D = f32;

            fn apply(a: f32, b: f32, c: f32) -> f32 {
                Self::of(a, b, c)
            }
        }
    )+};
}

directed! {
    AddDirected(a, b, c) = sum_to_odd(a, b), a != 0.0;
    SubtractDirected(a, b, c) = sum_to_odd(a, -b), a != 0.0;
    MultiplyDirected(a, b, c) = a * b, false;
    DivideDirected(a, b, c) = quotient_to_odd(a, b), false;
    MultiplyAddDirected(a, b, c) = sum_to_odd(a * b, c), c != 0.0;
    RootDirected(a, b, c) = root_to_odd(a), false;
    ReciprocalDirected(a, b, c) = quotient_to_odd(1.0, a), false;
}

macro_rules! float64 {
    ($($name:ident: $trait:ident($($argument:ident: $type:ident),+) = $body:expr;)+) => {$(
        struct $name;

        impl $trait for $name {
            $(type $type = f64;)+
            type D = f64;

            #[inline(always)]
            fn apply($($argument: f64),+) -> f64 {
                $body
            }
        }
    )+};
}

float64! {
    Add64: Binary(a: A, b: B) = a + b;
    Subtract64: Binary(a: A, b: B) = a - b;
    Multiply64: Binary(a: A, b: B) = a * b;
    Divide64: Binary(a: A, b: B) = a / b;
    Minimum64: Binary(a: A, b: B) = a.min(b);
    Maximum64: Binary(a: A, b: B) = a.max(b);
    CopySign64: Binary(a: A, b: B) = b.copysign(a);
    MultiplyAdd64: Ternary(a: A, b: B, c: C) = a.mul_add(b, c);
    Absolute64: Unary(a: A) = a.abs();
    Negate64: Unary(a: A) = -a;
    Root64: Unary(a: A) = a.sqrt();
    Reciprocal64: Unary(a: A) = 1.0 / a;
    ReciprocalRoot64: Unary(a: A) = 1.0 / a.sqrt();
}

macro_rules! by_flags {
    ($decoder:ident, $i:ident, $flags:ident, $method:ident, $operation:ident) => {
        match $flags {
            0 => $decoder.$method::<$operation<0>>($i),
            FTZ => $decoder.$method::<$operation<FTZ>>($i),
            SAT => $decoder.$method::<$operation<SAT>>($i),
            3 => $decoder.$method::<$operation<3>>($i),
            _ => Err($decoder.unknown($i)),
        }
    };
}

macro_rules! by_mode {
    ($decoder:ident, $i:ident, $flags:ident, $method:ident, $mode:expr, $plain:ident, $directed:ident) => {
        match ($mode, $flags) {
            ("rn", flags) => by_flags!($decoder, $i, flags, $method, $plain),
            ("rz", 0) => $decoder.$method::<$directed<1, 0>>($i),
            ("rz", FTZ) => $decoder.$method::<$directed<1, FTZ>>($i),
            ("rm", 0) => $decoder.$method::<$directed<2, 0>>($i),
            ("rm", FTZ) => $decoder.$method::<$directed<2, FTZ>>($i),
            ("rp", 0) => $decoder.$method::<$directed<3, 0>>($i),
            ("rp", FTZ) => $decoder.$method::<$directed<3, FTZ>>($i),
            _ => Err($decoder.unknown($i)),
        }
    };
}

macro_rules! by_nan {
    ($decoder:ident, $i:ident, $flags:ident, $operation:ident) => {
        match $flags {
            0 => $decoder.binary::<$operation<0>>($i),
            FTZ => $decoder.binary::<$operation<FTZ>>($i),
            NAN => $decoder.binary::<$operation<NAN>>($i),
            5 => $decoder.binary::<$operation<5>>($i),
            _ => Err($decoder.unknown($i)),
        }
    };
}

/// Decodes the arithmetic of float32 and float64.
pub fn decode(decoder: &mut Decoder, i: &Instruction) -> Result<(), PtxError> {
    let mut modifiers: Vec<&str> = i.modifiers().collect();
    modifiers.pop();
    let mut flags = 0;
    modifiers.retain(|modifier| {
        flags |= match *modifier {
            "ftz" => FTZ,
            "sat" => SAT,
            "NaN" => NAN,
            _ => return true,
        };
        false
    });
    if kind(i) == "f64" {
        return decode64(decoder, i, &modifiers, flags);
    }
    let mode = modifiers.first().copied().unwrap_or("rn");
    match (i.name(), &modifiers[..]) {
        ("add", [] | [_]) => by_mode!(decoder, i, flags, binary, mode, Add, AddDirected),
        ("sub", [] | [_]) => by_mode!(decoder, i, flags, binary, mode, Subtract, SubtractDirected),
        ("mul", [] | [_]) => by_mode!(decoder, i, flags, binary, mode, Multiply, MultiplyDirected),
        ("fma" | "mad", [_]) => {
            by_mode!(decoder, i, flags, ternary, mode, MultiplyAdd, MultiplyAddDirected)
        }
        ("div", ["full" | "approx"]) => by_flags!(decoder, i, flags, binary, Divide),
        ("div", [_]) => by_mode!(decoder, i, flags, binary, mode, Divide, DivideDirected),
        ("rcp", ["approx"]) => by_flags!(decoder, i, flags, unary, Reciprocal),
        ("rcp", [_]) => by_mode!(decoder, i, flags, unary, mode, Reciprocal, ReciprocalDirected),
        ("sqrt", ["approx"]) => by_flags!(decoder, i, flags, unary, Root),
        ("sqrt", [_]) => by_mode!(decoder, i, flags, unary, mode, Root, RootDirected),
        ("rsqrt", ["approx"]) => by_flags!(decoder, i, flags, unary, ReciprocalRoot),
        ("abs", []) => by_flags!(decoder, i, flags, unary, Absolute),
        ("neg", []) => by_flags!(decoder, i, flags, unary, Negate),
        ("min", []) => by_nan!(decoder, i, flags, Minimum),
        ("max", []) => by_nan!(decoder, i, flags, Maximum),
        ("copysign", []) if flags == 0 => decoder.binary::<CopySign>(i),
        _ => Err(decoder.unknown(i)),
    }
}

fn decode64(
    decoder: &mut Decoder,
    i: &Instruction,
    modifiers: &[&str],
    flags: u32,
) -> Result<(), PtxError> {
    match (i.name(), modifiers, flags) {
        ("add", [] | ["rn"], 0) => decoder.binary::<Add64>(i),
        ("sub", [] | ["rn"], 0) => decoder.binary::<Subtract64>(i),
        ("mul", [] | ["rn"], 0) => decoder.binary::<Multiply64>(i),
        ("fma" | "mad", ["rn"], 0) => decoder.ternary::<MultiplyAdd64>(i),
        ("div", ["rn"], 0) => decoder.binary::<Divide64>(i),
        ("rcp", ["rn"], 0) => decoder.unary::<Reciprocal64>(i),
        ("rcp", ["approx"], FTZ) => decoder.unary::<Reciprocal64>(i),
        ("sqrt", ["rn"], 0) => decoder.unary::<Root64>(i),
        ("rsqrt", ["approx"], 0 | FTZ) => decoder.unary::<ReciprocalRoot64>(i),
        ("abs", [], 0) => decoder.unary::<Absolute64>(i),
        ("neg", [], 0) => decoder.unary::<Negate64>(i),
        ("min", [], 0) => decoder.binary::<Minimum64>(i),
        ("max", [], 0) => decoder.binary::<Maximum64>(i),
        ("copysign", [], 0) => decoder.binary::<CopySign64>(i),
        _ => Err(decoder.unknown(i)),
    }
}
