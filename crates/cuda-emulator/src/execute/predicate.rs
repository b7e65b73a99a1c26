//! Logic of predicates.

use crate::ptx::{Instruction, PtxError};

use super::decoder::Decoder;
use super::fault::Outcome;
use super::step::{Step, handlers};
use super::thread_block::ThreadBlock;
use super::warp::{Warp, commit_predicate};

handlers! {
    fn predicate_logic = predicate_logic_bits;
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
pub fn decode(decoder: &mut Decoder, i: &Instruction) -> Result<(), PtxError> {
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
