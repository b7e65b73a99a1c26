//! Fields of bits and bytes: taken out, put in, picked.

use std::marker::PhantomData;

use crate::ptx::{Instruction, PtxError};

use super::bits::Bits;
use super::decoder::{Decoder, kind};
use super::fault::Outcome;
use super::step::{Step, Ternary, handlers};
use super::thread_block::ThreadBlock;
use super::warp::{LANES, Warp, Word, commit};

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
    fn insert<T: Bits> = insert_lanes;
}

/// `bfi`: `b` with the lowest `list[0]` bits of `a` from bit `c`.
#[inline(always)]
fn insert_lanes<T: Bits>(
    warp: &mut Warp,
    _block: &mut ThreadBlock<'_>,
    step: &Step,
    mask: u32,
) -> Outcome {
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

/// Decodes what moves fields of bits.
pub fn decode(decoder: &mut Decoder, i: &Instruction) -> Result<(), PtxError> {
    let mut modifiers: Vec<&str> = i.modifiers().collect();
    modifiers.pop();
    match (i.name(), &modifiers[..], kind(i)) {
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
