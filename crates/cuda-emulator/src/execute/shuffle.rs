//! Exchanges between the lanes of a warp.

use crate::ptx::{Instruction, Operand, PtxError};

use super::barrier::check_members;
use super::decoder::{Decoder, kind};
use super::fault::Outcome;
use super::step::{Step, handlers};
use super::thread_block::ThreadBlock;
use super::warp::{LANES, Warp, commit, commit_predicate};

handlers! {
    fn shuffle = shuffle_lanes;
    fn vote = vote_lanes;
    fn reduce = reduce_lanes;
    fn active = active_lanes;
    fn elect = elect_lane;
}

/// Modes of `shfl`, in [`Step::control`].
mod mode {
    pub const UP: u32 = 0;
    pub const DOWN: u32 = 1;
    pub const BUTTERFLY: u32 = 2;
    pub const INDEX: u32 = 3;
}

fn members(warp: &Warp, slot: u32, mask: u32) -> u32 {
    warp.words[slot as usize].0[mask.trailing_zeros() as usize & (LANES - 1)]
}

/// `d | list[0] = a` of the lane that `b`, `c` and the mode name; `list[1]` are the members.
#[inline(always)]
fn shuffle_lanes(warp: &mut Warp, _block: &mut ThreadBlock<'_>, step: &Step, mask: u32) -> Outcome {
    check_members(warp, members(warp, step.list[1], mask), mask)?;
    let [a, b, c] = [step.a, step.b, step.c].map(|slot| &warp.words[slot as usize].0);
    let mut result = [0; LANES];
    let mut within = 0_u32;
    for lane in 0..LANES {
        let (this, by) = (lane as u32, b[lane] & 31);
        let (clamp, segment) = (c[lane] & 31, c[lane] >> 8 & 31);
        let first = this & segment;
        let last = first | clamp & !segment;
        let (from, inside) = match step.control {
            mode::UP => (this.wrapping_sub(by), this as i32 - by as i32 >= last as i32),
            mode::DOWN => (this + by, this + by <= last),
            mode::BUTTERFLY => (this ^ by, this ^ by <= last),
            _ => {
                let from = first | by & !segment;
                (from, from <= last)
            }
        };
        let from = if inside { from as usize & (LANES - 1) } else { lane };
        result[lane] = a[from];
        within |= u32::from(inside) << lane;
    }
    commit(warp, step.d, &result, mask);
    commit_predicate(warp, step.list[0], within, mask);
    Ok(())
}

/// What a vote asks, in [`Step::control`]; +8 inverts the predicate.
mod question {
    pub const ALL: u32 = 0;
    pub const ANY: u32 = 1;
    pub const UNANIMOUS: u32 = 2;
    pub const BALLOT: u32 = 3;
}

/// Votes over the predicate `a` of the members `b`.
fn vote_lanes(warp: &mut Warp, _block: &mut ThreadBlock<'_>, step: &Step, mask: u32) -> Outcome {
    let members = members(warp, step.b, mask);
    check_members(warp, members, mask)?;
    let inverted = if step.control & 8 == 0 { 0 } else { u32::MAX };
    let voters = members & mask;
    let yes = (warp.predicates[step.a as usize] ^ inverted) & voters;
    let answer = match step.control & 3 {
        question::ALL => yes == voters,
        question::ANY => yes != 0,
        question::UNANIMOUS => yes == 0 || yes == voters,
        _ => {
            commit(warp, step.d, &[yes; LANES], mask);
            return Ok(());
        }
    };
    commit_predicate(warp, step.d, if answer { u32::MAX } else { 0 }, mask);
    Ok(())
}

/// An operation of `redux`: its name, its type, what it does.
type Reduction = (&'static str, &'static str, fn(u32, u32) -> u32);

/// Operations of `redux`, in [`Step::control`].
const REDUCTIONS: [Reduction; 9] = [
    ("add", "u32", u32::wrapping_add),
    ("add", "s32", u32::wrapping_add),
    ("min", "u32", |a, b| a.min(b)),
    ("max", "u32", |a, b| a.max(b)),
    ("min", "s32", |a, b| (a as i32).min(b as i32) as u32),
    ("max", "s32", |a, b| (a as i32).max(b as i32) as u32),
    ("and", "b32", |a, b| a & b),
    ("or", "b32", |a, b| a | b),
    ("xor", "b32", |a, b| a ^ b),
];

/// Reduces `a` over the members `b`.
fn reduce_lanes(warp: &mut Warp, _block: &mut ThreadBlock<'_>, step: &Step, mask: u32) -> Outcome {
    let members = members(warp, step.b, mask);
    check_members(warp, members, mask)?;
    let (_, _, operation) = REDUCTIONS[step.control as usize];
    let a = &warp.words[step.a as usize].0;
    let values = (0..LANES).filter(|lane| (members & mask) >> lane & 1 == 1).map(|lane| a[lane]);
    let result = values.reduce(operation).unwrap_or(0);
    commit(warp, step.d, &[result; LANES], mask);
    Ok(())
}

/// `d` = the lowest of the members `b`; `list[0]` = whether that is this lane.
fn elect_lane(warp: &mut Warp, _block: &mut ThreadBlock<'_>, step: &Step, mask: u32) -> Outcome {
    let members = members(warp, step.b, mask);
    check_members(warp, members, mask)?;
    let lowest = (members & mask).trailing_zeros() & 31;
    commit(warp, step.d, &[lowest; LANES], mask);
    commit_predicate(warp, step.list[0], 1 << lowest, mask);
    Ok(())
}

/// The lanes that are here.
fn active_lanes(warp: &mut Warp, _block: &mut ThreadBlock<'_>, step: &Step, mask: u32) -> Outcome {
    commit(warp, step.d, &[mask; LANES], mask);
    Ok(())
}

fn decode_shuffle(decoder: &mut Decoder, i: &Instruction) -> Result<(), PtxError> {
    let modifiers: Vec<&str> = i.modifiers().collect();
    let control = match modifiers[..] {
        ["sync", "up", "b32"] => mode::UP,
        ["sync", "down", "b32"] => mode::DOWN,
        ["sync", "bfly", "b32"] => mode::BUTTERFLY,
        ["sync", "idx", "b32"] => mode::INDEX,
        _ => return Err(decoder.unknown(i)),
    };
    let [targets, a, b, c, members] = &i.operands[..] else {
        return Err(i.error("expected five operands"));
    };
    let sink = Operand::Sink;
    let (target, inside) = match targets {
        Operand::Pair(first, second) => (&**first, &**second),
        other => (other, &sink),
    };
    let d = decoder.target::<u32>(i, target)?;
    let inside = decoder.predicate_target(i, inside)?;
    let a = decoder.source::<u32>(i, a)?;
    let b = decoder.source::<u32>(i, b)?;
    let c = decoder.source::<u32>(i, c)?;
    let members = decoder.source::<u32>(i, members)?;
    let step = decoder.push(i, shuffle(decoder.set));
    (step.d, step.a, step.b, step.c, step.control) = (d, a, b, c, control);
    step.list = Box::new([inside, members]);
    Ok(())
}

fn decode_vote(decoder: &mut Decoder, i: &Instruction) -> Result<(), PtxError> {
    let modifiers: Vec<&str> = i.modifiers().collect();
    let control = match modifiers[..] {
        ["sync", "all", "pred"] => question::ALL,
        ["sync", "any", "pred"] => question::ANY,
        ["sync", "uni", "pred"] => question::UNANIMOUS,
        ["sync", "ballot", "b32"] => question::BALLOT,
        _ => return Err(decoder.unknown(i)),
    };
    let [target, a, members] = &i.operands[..] else {
        return Err(i.error("expected three operands"));
    };
    let d = if control == question::BALLOT {
        decoder.target::<u32>(i, target)?
    } else {
        decoder.predicate_target(i, target)?
    };
    let (a, inverted) = decoder.predicate(i, a)?;
    let b = decoder.source::<u32>(i, members)?;
    let step = decoder.push(i, vote(decoder.set));
    (step.d, step.a, step.b) = (d, a, b);
    step.control = control | (u32::from(inverted) * 8);
    Ok(())
}

/// Decodes `shfl`, `vote`, `redux`, `elect` and `activemask`.
pub fn decode(decoder: &mut Decoder, i: &Instruction) -> Result<(), PtxError> {
    match (i.name(), &i.operands[..]) {
        ("shfl", _) => decode_shuffle(decoder, i),
        ("vote", _) => decode_vote(decoder, i),
        ("redux", [target, a, members]) => {
            let modifiers: Vec<&str> = i.modifiers().collect();
            let ["sync", name, _] = modifiers[..] else { return Err(decoder.unknown(i)) };
            let control = REDUCTIONS
                .iter()
                .position(|(operation, of, _)| *operation == name && *of == kind(i))
                .ok_or_else(|| decoder.unknown(i))?;
            let d = decoder.target::<u32>(i, target)?;
            let a = decoder.source::<u32>(i, a)?;
            let b = decoder.source::<u32>(i, members)?;
            let step = decoder.push(i, reduce(decoder.set));
            (step.d, step.a, step.b, step.control) = (d, a, b, control as u32);
            Ok(())
        }
        ("elect", [Operand::Pair(target, elected), members]) if i.has("sync") => {
            let d = decoder.target::<u32>(i, target)?;
            let elected = decoder.predicate_target(i, elected)?;
            let b = decoder.source::<u32>(i, members)?;
            let step = decoder.push(i, elect(decoder.set));
            (step.d, step.b, step.list) = (d, b, Box::new([elected]));
            Ok(())
        }
        ("activemask", [target]) => {
            let d = decoder.target::<u32>(i, target)?;
            decoder.push(i, active(decoder.set)).d = d;
            Ok(())
        }
        _ => Err(decoder.unknown(i)),
    }
}
