//! Logic, shifts and fields of bits.

use std::marker::PhantomData;

use crate::ptx::{Immediate, Instruction, Operand, PtxError};

use super::decode::{Decoder, kind};
use super::fault::Outcome;
use super::step::{Binary, Step, Ternary, Unary, handlers};
use super::thread_block::ThreadBlock;
use super::value::Value;
use super::warp::{LANES, Warp, commit, commit_predicate};

/// What the instructions need of a type of bits.
trait Bits: Value + Copy {
    fn and(a: Self, b: Self) -> Self;
    fn or(a: Self, b: Self) -> Self;
    fn xor(a: Self, b: Self) -> Self;
    fn not(a: Self) -> Self;
    fn shift_left(a: Self, by: u32) -> Self;
    fn shift_right(a: Self, by: u32) -> Self;
    fn is_zero(a: Self) -> bool;
    fn from_bool(truth: bool) -> Self;
    fn leading_zeros(a: Self) -> u32;
    fn ones(a: Self) -> u32;
    fn reversed(a: Self) -> Self;
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

/// A field of `length` bits from bit `start`, by the rules of `bfe`.
trait Field: Bits {
    fn field(self, start: u32, length: u32) -> Self;
}

macro_rules! fields {
    ($($type:ty, $wide:ty;)+) => {$(
        impl Field for $type {
            #[inline(always)]
            fn field(self, start: u32, length: u32) -> $type {
                let (start, length) = (start & 0xff, length & 0xff);
                if length == 0 {
                    return 0;
                }
                // Beyond the highest bit a signed number goes on with its sign.
                let shifted = <$wide>::from(self) >> start.min(<$type>::BITS);
                if length >= <$type>::BITS {
                    return shifted as $type;
                }
                // The field's own highest bit, or the number's where the field reaches beyond it.
                let unused = <$type>::BITS - length;
                ((shifted as $type) << unused) >> unused
            }
        }
    )+};
}

fields! {
    u32, u64;
    i32, i64;
    u64, u128;
    i64, i128;
}

struct Extract<T>(PhantomData<T>);

impl<T: Field> Ternary for Extract<T> {
    type A = T;
    type B = u32;
    type C = u32;
    type D = T;

    #[inline(always)]
    fn apply(a: T, start: u32, length: u32) -> T {
        a.field(start, length)
    }
}

/// `shf`: 32 bits of the 64 of `b:a`.
struct Funnel<const LEFT: bool, const WRAP: bool>;

impl<const LEFT: bool, const WRAP: bool> Ternary for Funnel<LEFT, WRAP> {
    type A = u32;
    type B = u32;
    type C = u32;
    type D = u32;

    #[inline(always)]
    fn apply(a: u32, b: u32, c: u32) -> u32 {
        let both = u64::from(b) << 32 | u64::from(a);
        let by = if WRAP { c & 31 } else { c.min(32) };
        if LEFT { ((both << by) >> 32) as u32 } else { (both >> by) as u32 }
    }
}

/// `prmt`: picks four of the eight bytes of `b:a`.
struct Permute;

impl Ternary for Permute {
    type A = u32;
    type B = u32;
    type C = u32;
    type D = u32;

    #[inline(always)]
    fn apply(a: u32, b: u32, c: u32) -> u32 {
        let both = u64::from(b) << 32 | u64::from(a);
        let mut picked = 0;
        for place in 0..4 {
            let selector = c >> (4 * place);
            let byte = (both >> (8 * (selector & 7))) as u32 & 0xff;
            let sign = if byte & 0x80 == 0 { 0 } else { 0xff };
            picked |= if selector & 8 == 0 { byte } else { sign } << (8 * place);
        }
        picked
    }
}

/// `sad`: `c + |a - b|`.
struct SumOfDifference<T>(PhantomData<T>);

macro_rules! sums_of_difference {
    ($($type:ty, $result:ty;)+) => {$(
        impl Ternary for SumOfDifference<$type> {
            type A = $type;
            type B = $type;
            type C = $result;
            type D = $result;

            #[inline(always)]
            fn apply(a: $type, b: $type, c: $result) -> $result {
                c.wrapping_add(a.abs_diff(b) as $result)
            }
        }
    )+};
}

sums_of_difference! {
    i32, u32;
    u32, u32;
}

handlers! {
    fn three_input_logic = three_input_logic_lanes;
    fn insert<T: Bits> = insert_lanes;
    fn predicate_logic = predicate_logic_bits;
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

/// `bfi`: `b` with the lowest `list[0]` bits of `a` from bit `c`.
#[inline(always)]
fn insert_lanes<T: Bits>(
    warp: &mut Warp,
    _block: &mut ThreadBlock<'_>,
    step: &Step,
    mask: u32,
) -> Outcome {
    use super::warp::Word;
    let a = T::Word::lanes(warp, step.a);
    let b = T::Word::lanes(warp, step.b);
    let (start, length) = (&warp.words[step.c as usize].0, &warp.words[step.list[0] as usize].0);
    let mut result = [T::Word::default(); LANES];
    for lane in 0..LANES {
        let (start, length) = (start[lane] & 0xff, length[lane] & 0xff);
        let all = T::not(T::from_bool(false));
        let field = T::shift_left(T::not(T::shift_left(all, length)), start);
        let kept = T::and(T::read(b[lane]), T::not(field));
        let put = T::and(T::shift_left(T::read(a[lane]), start), field);
        result[lane] = T::or(kept, put).write();
    }
    commit(warp, step.d, &result, mask);
    Ok(())
}

/// Logic of predicates, by [`Step::control`]: 0 and, 1 or, 2 xor; +4 and +8 invert `a` and `b`,
/// +16 inverts the result.
fn predicate_logic_bits(
    warp: &mut Warp,
    _block: &mut ThreadBlock<'_>,
    step: &Step,
    mask: u32,
) -> Outcome {
    let inverted = |bit: u32| if step.control & bit == 0 { 0 } else { u32::MAX };
    let a = warp.predicates[step.a as usize] ^ inverted(4);
    let b = warp.predicates[step.b as usize] ^ inverted(8);
    let result = match step.control & 3 {
        0 => a & b,
        1 => a | b,
        _ => a ^ b,
    };
    commit_predicate(warp, step.d, result ^ inverted(16), mask);
    Ok(())
}

/// Decodes `and`, `or`, `xor`, `not` and `mov` of predicates.
pub fn decode_predicates(decoder: &mut Decoder, i: &Instruction) -> Result<(), PtxError> {
    let mut control = match i.name() {
        "or" => 1,
        "xor" => 2,
        "not" => 16,
        _ => 0,
    };
    let (target, a, b) = match &i.operands[..] {
        [target, a, b] if control != 16 => (target, a, b),
        [target, a] if matches!(i.name(), "not" | "mov") => (target, a, a),
        _ => return Err(i.error("another number of operands")),
    };
    let d = decoder.predicate_target(i, target)?;
    let (a, a_inverted) = decoder.predicate(i, a)?;
    let (b, b_inverted) = decoder.predicate(i, b)?;
    control |= u32::from(a_inverted) * 4 + u32::from(b_inverted) * 8;
    let step = decoder.push(i, predicate_logic(decoder.set));
    (step.d, step.a, step.b, step.control) = (d, a, b, control);
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
        ("and" | "or" | "xor" | "not", [], "pred") => decode_predicates(decoder, i),
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
        ("bfe", [], "u32") => decoder.ternary::<Extract<u32>>(i),
        ("bfe", [], "s32") => decoder.ternary::<Extract<i32>>(i),
        ("bfe", [], "u64") => decoder.ternary::<Extract<u64>>(i),
        ("bfe", [], "s64") => decoder.ternary::<Extract<i64>>(i),
        ("shf", ["l", "wrap"], "b32") => decoder.ternary::<Funnel<true, true>>(i),
        ("shf", ["l", "clamp"], "b32") => decoder.ternary::<Funnel<true, false>>(i),
        ("shf", ["r", "wrap"], "b32") => decoder.ternary::<Funnel<false, true>>(i),
        ("shf", ["r", "clamp"], "b32") => decoder.ternary::<Funnel<false, false>>(i),
        ("prmt", [], "b32") => decoder.ternary::<Permute>(i),
        ("sad", [], "s32") => decoder.ternary::<SumOfDifference<i32>>(i),
        ("sad", [], "u32") => decoder.ternary::<SumOfDifference<u32>>(i),
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
        ("bfi", [], "b32") => decode_insert::<u32>(decoder, i),
        ("bfi", [], "b64") => decode_insert::<u64>(decoder, i),
        _ => Err(decoder.unknown(i)),
    }
}

fn decode_insert<T: Bits>(decoder: &mut Decoder, i: &Instruction) -> Result<(), PtxError> {
    let [d, a, b, start, length] = &i.operands[..] else {
        return Err(i.error("expected five operands"));
    };
    let d = decoder.target::<T>(i, d)?;
    let a = decoder.source::<T>(i, a)?;
    let b = decoder.source::<T>(i, b)?;
    let c = decoder.source::<u32>(i, start)?;
    let length = decoder.source::<u32>(i, length)?;
    let step = decoder.push(i, insert::<T>(decoder.set));
    (step.d, step.a, step.b, step.c) = (d, a, b, c);
    step.list = Box::new([length]);
    Ok(())
}
