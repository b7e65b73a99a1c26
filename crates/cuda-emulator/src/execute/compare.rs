//! Comparisons and choices.

use std::marker::PhantomData;

use crate::ptx::{Instruction, Operand, PtxError};

use super::decoder::{Decoder, kind};
use super::fault::Outcome;
use super::float::{FTZ, flush};
use super::step::{Compare, Handler, InstructionSet, Step, Ternary, handlers};
use super::step::{compare, compare_combined};
use super::thread_block::ThreadBlock;
use super::value::{Brain, Half, Small, Value};
use super::warp::{LANES, Warp, Word, commit};

/// What is compared: a type of values, by something that Rust compares.
trait Comparable: 'static {
    /// The type of both sources.
    type From: Value;
    /// What stands for a source.
    type By: PartialOrd;
    /// What stands for `value`.
    fn by(value: Self::From) -> Self::By;
}

macro_rules! integers {
    ($($type:ty),+) => {$(
        impl Comparable for $type {
            type From = $type;
            type By = $type;

            #[inline(always)]
            fn by(value: $type) -> $type {
                value
            }
        }
    )+};
}

integers!(u16, u32, u64, i16, i32, i64, f64);

struct Float32<const FLAGS: u32>;

impl<const FLAGS: u32> Comparable for Float32<FLAGS> {
    type From = f32;
    type By = f32;

    #[inline(always)]
    fn by(value: f32) -> f32 {
        flush::<FLAGS>(value)
    }
}

struct SmallFloat<S>(PhantomData<S>);

impl<S: Small> Comparable for SmallFloat<S> {
    type From = S;
    type By = f32;

    #[inline(always)]
    fn by(value: S) -> f32 {
        value.to_f32()
    }
}

macro_rules! comparisons {
    ($($name:ident($a:ident, $b:ident) = $body:expr;)+) => {$(
        struct $name<T>(PhantomData<T>);

        impl<T: Comparable> Compare for $name<T> {
            type A = T::From;

            #[inline(always)]
            #[allow(
                clippy::neg_cmp_op_on_partial_ord,
                clippy::double_comparisons,
                clippy::eq_op,
                reason = "not-a-number compares to nothing"
            )]
            fn apply(a: T::From, b: T::From) -> bool {
                let ($a, $b) = (T::by(a), T::by(b));
                $body
            }
        }
    )+};
}

comparisons! {
    Equal(a, b) = a == b;
    Less(a, b) = a < b;
    LessOrEqual(a, b) = a <= b;
    Greater(a, b) = a > b;
    GreaterOrEqual(a, b) = a >= b;
    // Of floats: false where one is no number.
    Apart(a, b) = a < b || a > b;
    Numbers(a, b) = a == a && b == b;
    // True where one is no number.
    NotEqual(a, b) = !(a == b);
    NotLess(a, b) = !(a < b);
    NotLessOrEqual(a, b) = !(a <= b);
    NotGreater(a, b) = !(a > b);
    NotGreaterOrEqual(a, b) = !(a >= b);
    NotApart(a, b) = !(a < b || a > b);
    NotNumbers(a, b) = !(a == a && b == b);
}

/// The plain comparison, and the one that combines its result with a predicate.
type Pair = (Handler, Handler);

fn both<O: Compare>(set: InstructionSet) -> Pair {
    (compare::<O>(set), compare_combined::<O>(set))
}

/// `NotEqual` of whole numbers is `ne`; of floats it is `neu`, and `ne` is [`Apart`].
fn integer_comparison<T: Comparable>(name: &str, set: InstructionSet) -> Option<Pair> {
    Some(match name {
        "eq" => both::<Equal<T>>(set),
        "ne" => both::<NotEqual<T>>(set),
        "lt" | "lo" => both::<Less<T>>(set),
        "le" | "ls" => both::<LessOrEqual<T>>(set),
        "gt" | "hi" => both::<Greater<T>>(set),
        "ge" | "hs" => both::<GreaterOrEqual<T>>(set),
        _ => return None,
    })
}

fn float_comparison<T: Comparable>(name: &str, set: InstructionSet) -> Option<Pair> {
    Some(match name {
        "eq" => both::<Equal<T>>(set),
        "ne" => both::<Apart<T>>(set),
        "lt" => both::<Less<T>>(set),
        "le" => both::<LessOrEqual<T>>(set),
        "gt" => both::<Greater<T>>(set),
        "ge" => both::<GreaterOrEqual<T>>(set),
        "equ" => both::<NotApart<T>>(set),
        "neu" => both::<NotEqual<T>>(set),
        "ltu" => both::<NotGreaterOrEqual<T>>(set),
        "leu" => both::<NotGreater<T>>(set),
        "gtu" => both::<NotLessOrEqual<T>>(set),
        "geu" => both::<NotLess<T>>(set),
        "num" => both::<Numbers<T>>(set),
        "nan" => both::<NotNumbers<T>>(set),
        _ => return None,
    })
}

fn comparison(name: &str, kind: &str, ftz: bool, set: InstructionSet) -> Option<Pair> {
    match (kind, ftz) {
        ("b16" | "u16", false) => integer_comparison::<u16>(name, set),
        ("b32" | "u32", false) => integer_comparison::<u32>(name, set),
        ("b64" | "u64", false) => integer_comparison::<u64>(name, set),
        ("s16", false) => integer_comparison::<i16>(name, set),
        ("s32", false) => integer_comparison::<i32>(name, set),
        ("s64", false) => integer_comparison::<i64>(name, set),
        ("f32", false) => float_comparison::<Float32<0>>(name, set),
        ("f32", true) => float_comparison::<Float32<FTZ>>(name, set),
        ("f64", false) => float_comparison::<f64>(name, set),
        ("f16", false) => float_comparison::<SmallFloat<Half>>(name, set),
        ("bf16", false) => float_comparison::<SmallFloat<Brain>>(name, set),
        _ => None,
    }
}

fn compared_source(
    decoder: &mut Decoder,
    i: &Instruction,
    kind: &str,
    operand: &Operand,
) -> Result<u32, PtxError> {
    match kind {
        "b64" | "u64" | "s64" => decoder.source::<u64>(i, operand),
        "f64" => decoder.source::<f64>(i, operand),
        "f32" => decoder.source::<f32>(i, operand),
        "b16" | "u16" | "s16" | "f16" | "bf16" => decoder.source::<u16>(i, operand),
        _ => decoder.source::<u32>(i, operand),
    }
}

fn decode_setp(decoder: &mut Decoder, i: &Instruction) -> Result<(), PtxError> {
    let mut modifiers: Vec<&str> = i.modifiers().collect();
    let kind = modifiers.pop().unwrap_or("");
    let ftz = modifiers.last() == Some(&"ftz");
    modifiers.truncate(modifiers.len() - usize::from(ftz));
    let (name, combination) = match modifiers[..] {
        [name] => (name, 0),
        [name, "and"] => (name, 1),
        [name, "or"] => (name, 2),
        [name, "xor"] => (name, 3),
        _ => return Err(decoder.unknown(i)),
    };
    let (plain, combined) =
        comparison(name, kind, ftz, decoder.set).ok_or_else(|| decoder.unknown(i))?;
    let (targets, a, b, other) = match &i.operands[..] {
        [targets, a, b] if combination == 0 => (targets, a, b, None),
        [targets, a, b, other] if combination != 0 => (targets, a, b, Some(other)),
        _ => return Err(i.error("another number of operands")),
    };
    let a = compared_source(decoder, i, kind, a)?;
    let b = compared_source(decoder, i, kind, b)?;
    let sink = Operand::Sink;
    let (first, second) = match targets {
        Operand::Pair(first, second) => (&**first, &**second),
        _ => (targets, &sink),
    };
    let d = decoder.predicate_target(i, first)?;
    if combination == 0 && *second == Operand::Sink {
        let step = decoder.push(i, plain);
        (step.d, step.a, step.b) = (d, a, b);
        return Ok(());
    }
    let second = decoder.predicate_target(i, second)?;
    let (c, inverted) = match other {
        Some(other) => decoder.predicate(i, other)?,
        None => (0, false),
    };
    let step = decoder.push(i, combined);
    (step.d, step.a, step.b, step.c) = (d, a, b, c);
    step.control = combination | (u32::from(inverted) * 4);
    step.list = Box::new([second]);
    Ok(())
}

handlers! {
    fn select<W: Word> = select_lanes;
}

/// `a` where the predicate `c` is true, otherwise `b`; the other way round for [`Step::control`] 1.
#[inline(always)]
fn select_lanes<W: Word>(
    warp: &mut Warp,
    _block: &mut ThreadBlock<'_>,
    step: &Step,
    mask: u32,
) -> Outcome {
    let (a, b) = (W::lanes(warp, step.a), W::lanes(warp, step.b));
    let chosen = warp.predicates[step.c as usize] ^ if step.control == 0 { 0 } else { u32::MAX };
    let mut result = [W::default(); LANES];
    for lane in 0..LANES {
        result[lane] = if chosen >> lane & 1 == 1 { a[lane] } else { b[lane] };
    }
    commit(warp, step.d, &result, mask);
    Ok(())
}

fn decode_selp(decoder: &mut Decoder, i: &Instruction) -> Result<(), PtxError> {
    let [d, a, b, chosen] = &i.operands[..] else {
        return Err(i.error("expected four operands"));
    };
    if i.modifiers().count() != 1 {
        return Err(decoder.unknown(i));
    }
    let (c, inverted) = decoder.predicate(i, chosen)?;
    let (run, slots) = match kind(i) {
        "b16" | "u16" | "s16" | "f16" | "bf16" => {
            let slots = [d, a, b].map(|operand| decoder.source::<u16>(i, operand));
            (select::<u32>(decoder.set), slots)
        }
        "f32" => {
            let slots = [d, a, b].map(|operand| decoder.source::<f32>(i, operand));
            (select::<u32>(decoder.set), slots)
        }
        "b32" | "u32" | "s32" => {
            let slots = [d, a, b].map(|operand| decoder.source::<u32>(i, operand));
            (select::<u32>(decoder.set), slots)
        }
        "f64" => {
            let slots = [d, a, b].map(|operand| decoder.source::<f64>(i, operand));
            (select::<u64>(decoder.set), slots)
        }
        "b64" | "u64" | "s64" => {
            let slots = [d, a, b].map(|operand| decoder.source::<u64>(i, operand));
            (select::<u64>(decoder.set), slots)
        }
        _ => return Err(decoder.unknown(i)),
    };
    let [d, a, b] = slots;
    let (d, a, b) = (d?, a?, b?);
    let step = decoder.push(i, run);
    (step.d, step.a, step.b, step.c) = (d, a, b, c);
    step.control = u32::from(inverted);
    Ok(())
}

/// `slct`: `a` where `c` is at least 0, otherwise `b`.
struct Choose<T>(PhantomData<T>);

impl<T: Value> Ternary for Choose<T> {
    type A = T;
    type B = T;
    type C = i32;
    type D = T;

    #[inline(always)]
    fn apply(a: T, b: T, c: i32) -> T {
        if c >= 0 { a } else { b }
    }
}

/// Decodes `setp`, `selp` and `slct`.
pub fn decode(decoder: &mut Decoder, i: &Instruction) -> Result<(), PtxError> {
    match (i.name(), kind(i)) {
        ("setp", _) => decode_setp(decoder, i),
        ("selp", _) => decode_selp(decoder, i),
        ("slct", "s32") => match i.modifiers().next() {
            Some("b32" | "u32" | "s32") => decoder.ternary::<Choose<u32>>(i),
            Some("f32") => decoder.ternary::<Choose<f32>>(i),
            Some("b64" | "u64" | "s64") => decoder.ternary::<Choose<u64>>(i),
            _ => Err(decoder.unknown(i)),
        },
        _ => Err(decoder.unknown(i)),
    }
}
