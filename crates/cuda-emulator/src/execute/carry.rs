//! Arithmetic of whole numbers longer than a register: with a carry from one to the next.

use crate::ptx::{Instruction, PtxError};

use super::decoder::{Decoder, kind};
use super::fault::Outcome;
use super::step::{Step, handlers};
use super::thread_block::ThreadBlock;
use super::warp::{LANES, Warp, Word, bits_of, commit};

handlers! {
    fn with_carry<W: CarryWord> = with_carry_lanes;
}

/// Words that the instructions with a carry work on.
trait CarryWord: Word {
    /// `a + b + carry`, and whether it carries.
    fn add(a: Self, b: Self, carry: bool) -> (Self, bool);
    /// The bits inverted.
    fn invert(self) -> Self;
    /// The lower or upper half of `a · b`.
    fn product(a: Self, b: Self, high: bool) -> Self;
}

macro_rules! carry_words {
    ($($type:ty, $wide:ty;)+) => {$(
        impl CarryWord for $type {
            #[inline(always)]
            fn add(a: $type, b: $type, carry: bool) -> ($type, bool) {
                let (sum, first) = a.overflowing_add(b);
                let (sum, second) = sum.overflowing_add(<$type>::from(carry));
                (sum, first | second)
            }

            #[inline(always)]
            fn invert(self) -> $type {
                !self
            }

            #[inline(always)]
            fn product(a: $type, b: $type, high: bool) -> $type {
                let product = <$wide>::from(a) * <$wide>::from(b);
                (if high { product >> <$type>::BITS } else { product }) as $type
            }
        }
    )+};
}

carry_words! {
    u32, u64;
    u64, u128;
}

/// Flags of [`with_carry_lanes`] in [`Step::control`].
mod flag {
    /// Takes the carry in.
    pub const IN: u32 = 1;
    /// Gives the carry out.
    pub const OUT: u32 = 2;
    /// Subtracts `b`: the carry is then the borrow.
    pub const SUBTRACT: u32 = 4;
    /// Adds `c` to the product of `a` and `b`.
    pub const MULTIPLY: u32 = 8;
    /// Of the product its upper half.
    pub const HIGH: u32 = 16;
}

#[inline(always)]
fn with_carry_lanes<W: CarryWord>(
    warp: &mut Warp,
    _block: &mut ThreadBlock<'_>,
    step: &Step,
    mask: u32,
) -> Outcome {
    let flags = step.control;
    let (mut a, mut b) = (*W::lanes(warp, step.a), *W::lanes(warp, step.b));
    if flags & flag::MULTIPLY != 0 {
        for lane in 0..LANES {
            a[lane] = W::product(a[lane], b[lane], flags & flag::HIGH != 0);
        }
        b = *W::lanes(warp, step.c);
    }
    let subtract = flags & flag::SUBTRACT != 0;
    let mut result = [W::default(); LANES];
    let mut carries = [false; LANES];
    for lane in 0..LANES {
        let carried = flags & flag::IN != 0 && warp.carry >> lane & 1 == 1;
        // a - b - borrow = a + !b + !borrow, whose carry is the borrow inverted.
        let other = if subtract { b[lane].invert() } else { b[lane] };
        let (sum, carry) = W::add(a[lane], other, carried != subtract);
        (result[lane], carries[lane]) = (sum, carry != subtract);
    }
    commit(warp, step.d, &result, mask);
    if flags & flag::OUT != 0 {
        warp.carry = warp.carry & !mask | bits_of(&carries) & mask;
    }
    Ok(())
}

/// Decodes `add.cc`, `addc`, `sub.cc`, `subc`, `mad.cc` and `madc`.
pub fn decode(decoder: &mut Decoder, instruction: &Instruction) -> Result<(), PtxError> {
    let name = instruction.name();
    let mut control = 0;
    if name.ends_with('c') {
        control |= flag::IN;
    }
    if instruction.has("cc") {
        control |= flag::OUT;
    }
    if name.starts_with("sub") {
        control |= flag::SUBTRACT;
    }
    let multiplies = name.starts_with("mad");
    if multiplies {
        control |= flag::MULTIPLY;
        if instruction.has("hi") {
            control |= flag::HIGH;
        } else if !instruction.has("lo") {
            return Err(decoder.unknown(instruction));
        }
    }
    let operands = &instruction.operands;
    if operands.len() != if multiplies { 4 } else { 3 } {
        return Err(instruction.error("another number of operands"));
    }
    // The upper half of a signed product would need its own function.
    let signed_high = control & flag::HIGH != 0 && kind(instruction).starts_with('s');
    let long = match kind(instruction) {
        "u32" | "s32" | "b32" if !signed_high => false,
        "u64" | "s64" | "b64" if !signed_high => true,
        _ => return Err(decoder.unknown(instruction)),
    };
    let mut slots = [0; 4];
    for (slot, operand) in slots.iter_mut().zip(operands) {
        *slot = if long {
            decoder.source::<u64>(instruction, operand)?
        } else {
            decoder.source::<u32>(instruction, operand)?
        };
    }
    let run = if long { with_carry::<u64>(decoder.set) } else { with_carry::<u32>(decoder.set) };
    let step = decoder.push(instruction, run);
    [step.d, step.a, step.b, step.c] = slots;
    step.control = control;
    Ok(())
}
