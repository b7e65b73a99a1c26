//! Moves from register to register, and between kinds of addresses.

use std::marker::PhantomData;

use crate::ptx::{Instruction, Operand, PtxError, RegisterClass};

use super::access::{LOCAL_WINDOW, PARAMETER_WINDOW, SHARED_WINDOW, WINDOW};
use super::decoder::{Decoder, kind};
use super::fault::Outcome;
use super::predicate;
use super::step::{Compare, Step, Unary, compare, handlers};
use super::thread_block::ThreadBlock;
use super::value::Value;
use super::warp::{LANES, Warp, Word, commit};

/// `d = a`.
pub struct Copy<T>(PhantomData<T>);

impl<T: Value> Unary for Copy<T> {
    type A = T;
    type D = T;

    #[inline(always)]
    fn apply(a: T) -> T {
        a
    }
}

/// The lower half of 64 bits.
pub struct Low;

impl Unary for Low {
    type A = u64;
    type D = u32;

    #[inline(always)]
    fn apply(a: u64) -> u32 {
        a as u32
    }
}

/// An address in a window as a generic one, and back.
struct Shift<const START: u64, const BACK: bool>;

impl<const START: u64, const BACK: bool> Unary for Shift<START, BACK> {
    type A = u64;
    type D = u64;

    #[inline(always)]
    fn apply(a: u64) -> u64 {
        if BACK { a.wrapping_sub(START) } else { a.wrapping_add(START) }
    }
}

/// Whether a generic address lies in a window.
struct Inside<const START: u64>;

impl<const START: u64> Compare for Inside<START> {
    type A = u64;

    #[inline(always)]
    fn apply(a: u64, _b: u64) -> bool {
        a.wrapping_sub(START) < WINDOW
    }
}

/// Whether a generic address is one of global memory.
struct Outside;

impl Compare for Outside {
    type A = u64;

    #[inline(always)]
    fn apply(a: u64, _b: u64) -> bool {
        a.wrapping_sub(SHARED_WINDOW) >= WINDOW && a.wrapping_sub(LOCAL_WINDOW) >= WINDOW
    }
}

handlers! {
    fn pack<D: Word> = pack_lanes;
    fn unpack<A: Word> = unpack_lanes;
}

/// Puts the elements `list` together, of [`Step::control`] bits each; the first lowest.
#[inline(always)]
fn pack_lanes<D: Word>(
    warp: &mut Warp,
    _block: &mut ThreadBlock<'_>,
    step: &Step,
    mask: u32,
) -> Outcome {
    let mut whole = [0_u64; LANES];
    for (place, slot) in step.list.iter().enumerate() {
        let element = &warp.words[*slot as usize].0;
        for lane in 0..LANES {
            whole[lane] |= u64::from(element[lane]) << (place as u32 * step.control);
        }
    }
    let mut result = [D::default(); LANES];
    for lane in 0..LANES {
        result[lane] = D::truncate(whole[lane]);
    }
    commit(warp, step.d, &result, mask);
    Ok(())
}

/// Takes `a` apart into the elements `list`.
#[inline(always)]
fn unpack_lanes<A: Word>(
    warp: &mut Warp,
    _block: &mut ThreadBlock<'_>,
    step: &Step,
    mask: u32,
) -> Outcome {
    let whole = *A::lanes(warp, step.a);
    for (place, slot) in step.list.iter().enumerate() {
        let mut result = [0_u32; LANES];
        for lane in 0..LANES {
            let element = whole[lane].bits() >> (place as u32 * step.control);
            result[lane] = (element & (u64::MAX >> (64 - step.control))) as u32;
        }
        commit(warp, *slot, &result, mask);
    }
    Ok(())
}

fn decode_vector(decoder: &mut Decoder, i: &Instruction, bits: usize) -> Result<(), PtxError> {
    let [d, a] = &i.operands[..] else { return Err(i.error("expected two operands")) };
    let (elements, packs) = match (d, a) {
        (Operand::Vector(elements), _) => (elements, false),
        (_, Operand::Vector(elements)) => (elements, true),
        _ => return Err(i.error("expected a vector")),
    };
    let width = bits / elements.len().max(1);
    if !matches!(width, 8 | 16 | 32) || width * elements.len() != bits {
        return Err(decoder.unknown(i));
    }
    let mut list = Vec::with_capacity(elements.len());
    for element in elements {
        list.push(match (packs, width) {
            (false, _) => decoder.target::<u32>(i, element)?,
            (true, 16) => decoder.source::<u16>(i, element)?,
            (true, 8) => decoder.source::<u8>(i, element)?,
            (true, _) => decoder.source::<u32>(i, element)?,
        });
    }
    let (run, d, a) = match (packs, bits == 64) {
        (true, true) => (pack::<u64>(decoder.set), decoder.target::<u64>(i, d)?, 0),
        (true, false) => (pack::<u32>(decoder.set), decoder.target::<u32>(i, d)?, 0),
        (false, true) => (unpack::<u64>(decoder.set), 0, decoder.source::<u64>(i, a)?),
        (false, false) => (unpack::<u32>(decoder.set), 0, decoder.source::<u32>(i, a)?),
    };
    let step = decoder.push(i, run);
    (step.d, step.a, step.control) = (d, a, width as u32);
    step.list = list.into();
    Ok(())
}

fn decode_mov(decoder: &mut Decoder, i: &Instruction) -> Result<(), PtxError> {
    if i.modifiers().count() != 1 {
        return Err(decoder.unknown(i));
    }
    let vector = i.operands.iter().any(|operand| matches!(operand, Operand::Vector(_)));
    match kind(i) {
        "pred" => predicate::decode(decoder, i),
        "b16" if vector => decode_vector(decoder, i, 16),
        "b32" if vector => decode_vector(decoder, i, 32),
        "b64" if vector => decode_vector(decoder, i, 64),
        "b16" | "u16" | "s16" | "f16" | "bf16" => decoder.unary::<Copy<u16>>(i),
        "b32" | "u32" | "s32" => decoder.unary::<Copy<u32>>(i),
        "f32" => decoder.unary::<Copy<f32>>(i),
        "b64" | "u64" | "s64" => decoder.unary::<Copy<u64>>(i),
        "f64" => decoder.unary::<Copy<f64>>(i),
        _ => Err(decoder.unknown(i)),
    }
}

fn decode_cvta(decoder: &mut Decoder, i: &Instruction) -> Result<(), PtxError> {
    let modifiers: Vec<&str> = i.modifiers().collect();
    let (back, space) = match modifiers[..] {
        [space, "u64"] => (false, space),
        ["to", space, "u64"] => (true, space),
        _ => return Err(decoder.unknown(i)),
    };
    match (space, back) {
        ("global" | "const", _) => decoder.unary::<Copy<u64>>(i),
        ("shared" | "shared::cta", false) => {
            // The address of a variable may come in a register of 32 bits.
            if let [d, a] = &i.operands[..]
                && matches!(decoder.class(a), Some(RegisterClass::Word(_)))
            {
                let d = decoder.target::<u64>(i, d)?;
                let a = decoder.source::<u32>(i, a)?;
                let step = decoder.push(i, super::step::unary::<Widened>(decoder.set));
                (step.d, step.a) = (d, a);
                return Ok(());
            }
            decoder.unary::<Shift<SHARED_WINDOW, false>>(i)
        }
        ("shared" | "shared::cta", true) => decoder.unary::<Shift<SHARED_WINDOW, true>>(i),
        ("param", false) => decoder.unary::<Shift<PARAMETER_WINDOW, false>>(i),
        ("local", false) => decoder.unary::<Shift<LOCAL_WINDOW, false>>(i),
        ("local", true) => decoder.unary::<Shift<LOCAL_WINDOW, true>>(i),
        _ => Err(decoder.unknown(i)),
    }
}

/// An address of 32 bits in shared memory as a generic one.
struct Widened;

impl Unary for Widened {
    type A = u32;
    type D = u64;

    #[inline(always)]
    fn apply(a: u32) -> u64 {
        SHARED_WINDOW + u64::from(a)
    }
}

fn decode_isspacep(decoder: &mut Decoder, i: &Instruction) -> Result<(), PtxError> {
    let [d, a] = &i.operands[..] else { return Err(i.error("expected two operands")) };
    let run = match kind(i) {
        "shared" | "shared::cta" => compare::<Inside<SHARED_WINDOW>>(decoder.set),
        "local" => compare::<Inside<LOCAL_WINDOW>>(decoder.set),
        "global" => compare::<Outside>(decoder.set),
        _ => return Err(decoder.unknown(i)),
    };
    let d = decoder.predicate_target(i, d)?;
    let a = decoder.source::<u64>(i, a)?;
    let step = decoder.push(i, run);
    (step.d, step.a, step.b) = (d, a, a);
    Ok(())
}

/// Decodes `mov`, `cvta`, `isspacep` and `createpolicy`.
pub fn decode(decoder: &mut Decoder, i: &Instruction) -> Result<(), PtxError> {
    match i.name() {
        "mov" => decode_mov(decoder, i),
        "cvta" => decode_cvta(decoder, i),
        "isspacep" => decode_isspacep(decoder, i),
        // A policy of caches, of which this device has none: its bits mean nothing.
        "createpolicy" => {
            let target = i.operands.first().ok_or_else(|| i.error("expected a register"))?;
            let (d, a) = (decoder.target::<u64>(i, target)?, decoder.constant_long(0));
            let step = decoder.push(i, super::step::unary::<Copy<u64>>(decoder.set));
            (step.d, step.a) = (d, a);
            Ok(())
        }
        _ => Err(decoder.unknown(i)),
    }
}
