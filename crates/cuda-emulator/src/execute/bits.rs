//! Logic, shifts and fields of bits.

use std::marker::PhantomData;

use crate::ptx::{Immediate, Instruction, Operand, PtxError};

use super::decoder::{Decoder, kind};
use super::fault::Outcome;
use super::fields;
use super::predicate;
use super::step::{Binary, Step, Unary, handlers};
use super::thread_block::ThreadBlock;
use super::value::Value;
use super::warp::{LANES, Warp, commit};

/// What the instructions need of a type of bits.
pub trait Bits: Value {
    /// `a & b`.
    fn and(a: Self, b: Self) -> Self;
    /// `a | b`.
    fn or(a: Self, b: Self) -> Self;
    /// `a ^ b`.
    fn xor(a: Self, b: Self) -> Self;
    /// `!a`.
    fn not(a: Self) -> Self;
    /// `a << by`; 0 where `by` is too large.
    fn shift_left(a: Self, by: u32) -> Self;
    /// `a >> by`; zeros or the sign where `by` is too large.
    fn shift_right(a: Self, by: u32) -> Self;
    /// Whether it is 0.
    fn is_zero(a: Self) -> bool;
    /// 1 or 0.
    fn from_bool(truth: bool) -> Self;
    /// Zeros above the highest 1.
    fn leading_zeros(a: Self) -> u32;
    /// How many bits are 1.
    fn ones(a: Self) -> u32;
    /// The bits in the opposite order.
    fn reversed(a: Self) -> Self;
    /// How many bits there are.
    const WIDTH: u32;
}

macro_rules! bits {
    ($($type:ty),+) => {$(
        impl Bits for $type {
            #[inline(always)]
            fn and(a: $type, b: $type) -> $type {
                a & b
            }

            #[inline(always)]
            fn or(a: $type, b: $type) -> $type {
                a | b
            }

            #[inline(always)]
            fn xor(a: $type, b: $type) -> $type {
                a ^ b
            }

            #[inline(always)]
            fn not(a: $type) -> $type {
                !a
            }

            #[inline(always)]
            fn shift_left(a: $type, by: u32) -> $type {
                if by >= <$type>::BITS { 0 } else { a << by }
            }

            // Shifting by more than all bits leaves zeros, or the sign of a signed number.
            #[inline(always)]
            fn shift_right(a: $type, by: u32) -> $type {
                let all_but_one = a >> (<$type>::BITS - 1);
                if by < <$type>::BITS { a >> by } else { all_but_one >> 1 }
            }

            #[inline(always)]
            fn is_zero(a: $type) -> bool {
                a == 0
            }

            #[inline(always)]
            fn from_bool(truth: bool) -> $type {
                truth as $type
            }

            #[inline(always)]
            fn leading_zeros(a: $type) -> u32 {
                a.leading_zeros()
            }

            #[inline(always)]
            fn ones(a: $type) -> u32 {
                a.count_ones()
            }

            #[inline(always)]
            fn reversed(a: $type) -> $type {
                a.reverse_bits()
            }

            const WIDTH: u32 = <$type>::BITS;
        }
    )+};
}

bits!(u16, u32, u64, i16, i32, i64);

macro_rules! operations {
    (binary: $($name:ident($a:ident, $b:ident: $b_type:ty) = $body:expr;)+) => {$(
        struct $name<T>(PhantomData<T>);

        impl<T: Bits> Binary for $name<T> {
            type A = T;
            type B = $b_type;
            type D = T;

            #[inline(always)]
            fn apply($a: T, $b: $b_type) -> T {
                $body
            }
        }
    )+};
    (unary: $($name:ident($a:ident) -> $d:ty = $body:expr;)+) => {$(
        struct $name<T>(PhantomData<T>);

        impl<T: Bits> Unary for $name<T> {
            type A = T;
            type D = $d;

            #[inline(always)]
            fn apply($a: T) -> $d {
                $body
            }
        }
    )+};
}

operations! { binary:
    And(a, b: T) = T::and(a, b);
    Or(a, b: T) = T::or(a, b);
    Xor(a, b: T) = T::xor(a, b);
    ShiftLeft(a, b: u32) = T::shift_left(a, b);
    ShiftRight(a, b: u32) = T::shift_right(a, b);
}

operations! { unary:
    Not(a) -> T = T::not(a);
    LogicalNot(a) -> T = T::from_bool(T::is_zero(a));
    LeadingZeros(a) -> u32 = T::leading_zeros(a);
    Ones(a) -> u32 = T::ones(a);
    Reverse(a) -> T = T::reversed(a);
    HighestBit(a) -> u32 = T::WIDTH.wrapping_sub(1).wrapping_sub(T::leading_zeros(a));
}

handlers! {
    fn three_input_logic = three_input_logic_lanes;
}

/// `lop3`: bit `(a, b, c)` of the table [`Step::control`].
#[inline(always)]
fn three_input_logic_lanes(
    warp: &mut Warp,
    _block: &mut ThreadBlock<'_>,
    step: &Step,
    mask: u32,
) -> Outcome {
    let [a, b, c] = [step.a, step.b, step.c].map(|slot| &warp.words[slot as usize].0);
    let mut result = [0; LANES];
    for row in 0..8 {
        if step.control >> row & 1 == 1 {
            let [x, y, z] = [4, 2, 1].map(|bit| if row & bit == 0 { u32::MAX } else { 0 });
            for lane in 0..LANES {
                result[lane] |= (a[lane] ^ x) & (b[lane] ^ y) & (c[lane] ^ z);
            }
        }
    }
    commit(warp, step.d, &result, mask);
    Ok(())
}

macro_rules! by_width {
    ($decoder:ident, $instruction:ident, $method:ident, $operation:ident) => {
        match kind($instruction) {
            "b16" | "u16" => $decoder.$method::<$operation<u16>>($instruction),
            "b32" | "u32" => $decoder.$method::<$operation<u32>>($instruction),
            "b64" | "u64" => $decoder.$method::<$operation<u64>>($instruction),
            "s16" => $decoder.$method::<$operation<i16>>($instruction),
            "s32" => $decoder.$method::<$operation<i32>>($instruction),
            "s64" => $decoder.$method::<$operation<i64>>($instruction),
            _ => Err($decoder.unknown($instruction)),
        }
    };
}

fn integer(instruction: &Instruction, operand: &Operand) -> Result<u32, PtxError> {
    match operand {
        Operand::Immediate(Immediate::Integer(value)) => Ok(*value as u32),
        _ => Err(instruction.error("expected a whole number")),
    }
}

/// Decodes logic, shifts and fields of bits.
pub fn decode(decoder: &mut Decoder, i: &Instruction) -> Result<(), PtxError> {
    let mut modifiers: Vec<&str> = i.modifiers().collect();
    modifiers.pop();
    match (i.name(), &modifiers[..], kind(i)) {
        ("and" | "or" | "xor" | "not", [], "pred") => predicate::decode(decoder, i),
        ("and", [], _) => by_width!(decoder, i, binary, And),
        ("or", [], _) => by_width!(decoder, i, binary, Or),
        ("xor", [], _) => by_width!(decoder, i, binary, Xor),
        ("not", [], _) => by_width!(decoder, i, unary, Not),
        ("cnot", [], _) => by_width!(decoder, i, unary, LogicalNot),
        ("shl", [], _) => by_width!(decoder, i, binary, ShiftLeft),
        ("shr", [], _) => by_width!(decoder, i, binary, ShiftRight),
        ("clz", [], _) => by_width!(decoder, i, unary, LeadingZeros),
        ("popc", [], _) => by_width!(decoder, i, unary, Ones),
        ("brev", [], _) => by_width!(decoder, i, unary, Reverse),
        ("bfind", [], "u32") => decoder.unary::<HighestBit<u32>>(i),
        ("bfind", [], "u64") => decoder.unary::<HighestBit<u64>>(i),
        ("lop3", [], "b32") => {
            let [d, a, b, c, table] = &i.operands[..] else {
                return Err(i.error("expected five operands"));
            };
            let control = integer(i, table)?;
            let d = decoder.target::<u32>(i, d)?;
            let a = decoder.source::<u32>(i, a)?;
            let b = decoder.source::<u32>(i, b)?;
            let c = decoder.source::<u32>(i, c)?;
            let step = decoder.push(i, three_input_logic(decoder.set));
            (step.d, step.a, step.b, step.c, step.control) = (d, a, b, c, control);
            Ok(())
        }
        _ => fields::decode(decoder, i),
    }
}
