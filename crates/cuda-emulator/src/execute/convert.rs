//! `cvt`: from one type to another.
//!
//! The conversions that kernels are full of have loops of their own; all others take the number
//! apart by [`Conversion`].

use std::marker::PhantomData;

use crate::ptx::{Instruction, Operand, PtxError, RegisterClass};

use super::conversion::{Conversion, Rounds, kind_of};
use super::decoder::Decoder;
use super::general_conversion::{
    float_to_float, float_to_integer, integer_to_float, integer_to_integer,
};
use super::movement::Low;
use super::step::{Binary, Handler, InstructionSet, Unary, unary};
use super::value::{Brain, Half, Small, Two};

/// A float of 16 bits as float32.
struct Widen<S>(PhantomData<S>);

impl<S: Small> Unary for Widen<S> {
    type A = S;
    type D = f32;

    #[inline(always)]
    fn apply(a: S) -> f32 {
        super::float::canonical(a.to_f32())
    }
}

/// The nearest float of 16 bits.
struct Narrow<S, const RELU: bool>(PhantomData<S>);

impl<S: Small, const RELU: bool> Narrow<S, RELU> {
    #[inline(always)]
    fn of(a: f32) -> S {
        S::from_f32(if RELU && a <= 0.0 { 0.0 } else { a })
    }
}

impl<S: Small, const RELU: bool> Unary for Narrow<S, RELU> {
    type A = f32;
    type D = S;

    #[inline(always)]
    fn apply(a: f32) -> S {
        Self::of(a)
    }
}

/// Two of them: the first source goes to the upper half.
impl<S: Small, const RELU: bool> Binary for Narrow<S, RELU> {
    type A = f32;
    type B = f32;
    type D = Two<S>;

    #[inline(always)]
    fn apply(a: f32, b: f32) -> Two<S> {
        Two(Self::of(b), Self::of(a))
    }
}

/// Ten bits of fraction in the place of float32's: nearest, ties away from zero.
struct Tensor32;

impl Unary for Tensor32 {
    type A = f32;
    type D = u32;

    #[inline(always)]
    fn apply(a: f32) -> u32 {
        let rounded = a.to_bits().wrapping_add(0x1000) & !0x1fff;
        if a.is_nan() {
            0x7fff_ffff
        } else if a.is_infinite() {
            a.to_bits()
        } else {
            rounded
        }
    }
}

/// As above, ties to even.
struct Tensor32Even;

impl Unary for Tensor32Even {
    type A = f32;
    type D = u32;

    #[inline(always)]
    fn apply(a: f32) -> u32 {
        let bits = a.to_bits();
        let rounded = bits.wrapping_add(0xfff + (bits >> 13 & 1)) & !0x1fff;
        if a.is_nan() {
            0x7fff_ffff
        } else if a.is_infinite() {
            bits
        } else {
            rounded
        }
    }
}

/// `a as D`.
struct Cast<A, D>(PhantomData<(A, D)>);

macro_rules! casts {
    ($($a:ty => $($d:ty),+;)+) => {$($(
        impl Unary for Cast<$a, $d> {
            type A = $a;
            type D = $d;

            #[inline(always)]
            fn apply(a: $a) -> $d {
                a as $d
            }
        }
    )+)+};
}

casts! {
    u8 => u16, u32, u64, f32;
    i8 => i16, i32, i64, f32;
    u16 => u32, u64, f32;
    i16 => i32, i64, f32;
    u32 => u16, u64, f32, f64;
    i32 => i64, f32, f64;
    u64 => u16, u32, f32, f64;
    i64 => f32, f64;
    f32 => i32, u32, f64;
    f64 => f32;
}

/// A conversion with a loop of its own: by its modifiers joined, for registers of the types' own
/// widths.
fn quick(modifiers: &str, set: InstructionSet) -> Option<Handler> {
    Some(match modifiers {
        "f32.f16" => unary::<Widen<Half>>(set),
        "f32.bf16" => unary::<Widen<Brain>>(set),
        "rn.f16.f32" => unary::<Narrow<Half, false>>(set),
        "rn.bf16.f32" => unary::<Narrow<Brain, false>>(set),
        "rn.relu.bf16.f32" => unary::<Narrow<Brain, true>>(set),
        "rn.relu.f16.f32" => unary::<Narrow<Half, true>>(set),
        "rna.tf32.f32" => unary::<Tensor32>(set),
        "rn.tf32.f32" => unary::<Tensor32Even>(set),
        "u16.u8" | "s16.u8" => unary::<Cast<u8, u16>>(set),
        "u32.u8" | "s32.u8" => unary::<Cast<u8, u32>>(set),
        "u64.u8" | "s64.u8" => unary::<Cast<u8, u64>>(set),
        "s16.s8" | "u16.s8" => unary::<Cast<i8, i16>>(set),
        "s32.s8" | "u32.s8" => unary::<Cast<i8, i32>>(set),
        "s64.s8" | "u64.s8" => unary::<Cast<i8, i64>>(set),
        "u32.u16" | "s32.u16" => unary::<Cast<u16, u32>>(set),
        "u64.u16" | "s64.u16" => unary::<Cast<u16, u64>>(set),
        "s32.s16" | "u32.s16" => unary::<Cast<i16, i32>>(set),
        "s64.s16" | "u64.s16" => unary::<Cast<i16, i64>>(set),
        "u16.u32" | "s16.s32" | "u16.s32" | "s16.u32" => unary::<Cast<u32, u16>>(set),
        "u64.u32" | "s64.u32" => unary::<Cast<u32, u64>>(set),
        "s64.s32" | "u64.s32" => unary::<Cast<i32, i64>>(set),
        "u16.u64" | "s16.s64" | "u16.s64" | "s16.u64" => unary::<Cast<u64, u16>>(set),
        "u32.u64" | "s32.s64" | "u32.s64" | "s32.u64" => unary::<Cast<u64, u32>>(set),
        "rn.f32.u8" => unary::<Cast<u8, f32>>(set),
        "rn.f32.s8" => unary::<Cast<i8, f32>>(set),
        "rn.f32.u16" => unary::<Cast<u16, f32>>(set),
        "rn.f32.s16" => unary::<Cast<i16, f32>>(set),
        "rn.f32.u32" => unary::<Cast<u32, f32>>(set),
        "rn.f32.s32" => unary::<Cast<i32, f32>>(set),
        "rn.f32.u64" => unary::<Cast<u64, f32>>(set),
        "rn.f32.s64" => unary::<Cast<i64, f32>>(set),
        "rn.f64.u32" => unary::<Cast<u32, f64>>(set),
        "rn.f64.s32" => unary::<Cast<i32, f64>>(set),
        "rn.f64.u64" => unary::<Cast<u64, f64>>(set),
        "rn.f64.s64" => unary::<Cast<i64, f64>>(set),
        "rzi.s32.f32" => unary::<Cast<f32, i32>>(set),
        "rzi.u32.f32" => unary::<Cast<f32, u32>>(set),
        "f64.f32" => unary::<Cast<f32, f64>>(set),
        _ => return None,
    })
}

/// Bits of a register that a type fills when it is written.
fn fills(decoder: &Decoder, operand: &Operand, bits: u32) -> bool {
    match decoder.class(operand) {
        Some(RegisterClass::Word(width)) => u32::from(width) == bits,
        Some(RegisterClass::Long) => bits == 64,
        _ => false,
    }
}

fn slot(
    decoder: &mut Decoder,
    i: &Instruction,
    operand: &Operand,
    target: bool,
) -> Result<(u32, bool), PtxError> {
    let long = decoder.class(operand) == Some(RegisterClass::Long);
    let slot = match (target, long) {
        (true, true) => decoder.target::<u64>(i, operand)?,
        (true, false) => decoder.target::<u32>(i, operand)?,
        (false, true) => decoder.source::<u64>(i, operand)?,
        (false, false) => decoder.source::<u32>(i, operand)?,
    };
    Ok((slot, long))
}

fn decode_pair(decoder: &mut Decoder, i: &Instruction, modifiers: &[&str]) -> Result<(), PtxError> {
    match modifiers {
        ["rn", "bf16x2", "f32"] => decoder.binary::<Narrow<Brain, false>>(i),
        ["rn", "f16x2", "f32"] => decoder.binary::<Narrow<Half, false>>(i),
        ["rn", "relu", "bf16x2", "f32"] => decoder.binary::<Narrow<Brain, true>>(i),
        ["rn", "relu", "f16x2", "f32"] => decoder.binary::<Narrow<Half, true>>(i),
        _ => Err(decoder.unknown(i)),
    }
}

/// Decodes `cvt`.
pub fn decode(decoder: &mut Decoder, i: &Instruction) -> Result<(), PtxError> {
    let modifiers: Vec<&str> = i.modifiers().collect();
    let [d, a] = &i.operands[..] else { return decode_pair(decoder, i, &modifiers) };
    let [options @ .., to, from] = &modifiers[..] else { return Err(decoder.unknown(i)) };
    if let Some(run) = quick(&modifiers.join("."), decoder.set)
        && (*to == "tf32" || kind_of(to).is_some_and(|kind| fills(decoder, d, kind.bits)))
    {
        let (d, _) = slot(decoder, i, d, true)?;
        let a = source(decoder, i, from, a)?;
        let step = decoder.push(i, run);
        (step.d, step.a) = (d, a);
        return Ok(());
    }
    let (Some(from_kind), Some(to_kind)) = (kind_of(from), kind_of(to)) else {
        return Err(decoder.unknown(i));
    };
    let conversion =
        Conversion::new(options, from_kind, to_kind).ok_or_else(|| decoder.unknown(i))?;
    // Rounding to whole numbers is for what has a fraction.
    if matches!(conversion.rounds, Rounds::Whole(_)) && !from_kind.float {
        return Err(decoder.unknown(i));
    }
    let register = match decoder.class(d) {
        Some(RegisterClass::Word(bits)) => u32::from(bits),
        _ => 64,
    };
    let (d, long_target) = slot(decoder, i, d, true)?;
    let long_source = from_kind.bits == 64;
    let a = source(decoder, i, from, a)?;
    let set = decoder.set;
    let run = match (from_kind.float, to_kind.float) {
        (false, false) => integer_to_integer(long_source, long_target, set),
        (false, true) => integer_to_float(long_source, to, set),
        (true, false) => float_to_integer(from, long_target, set),
        (true, true) => float_to_float(from, to, set),
    };
    let run = run.ok_or_else(|| decoder.unknown(i))?;
    let step = decoder.push(i, run);
    (step.d, step.a) = (d, a);
    step.control = conversion.pack(register);
    Ok(())
}

/// The slot of a source, which may be wider than its type.
fn source(
    decoder: &mut Decoder,
    i: &Instruction,
    kind: &str,
    operand: &Operand,
) -> Result<u32, PtxError> {
    match kind {
        "f32" => decoder.source::<f32>(i, operand),
        "f64" => decoder.source::<f64>(i, operand),
        "u64" | "s64" => decoder.source::<u64>(i, operand),
        _ if decoder.class(operand) == Some(RegisterClass::Long) => {
            let a = decoder.source::<u64>(i, operand)?;
            let d = decoder.scratch::<u32>();
            let step = decoder.push(i, unary::<Low>(decoder.set));
            (step.d, step.a) = (d, a);
            Ok(d)
        }
        _ => decoder.source::<u32>(i, operand),
    }
}
