//! Decoded instructions, and the loops over lanes that most of them are.

use super::fault::Outcome;
use super::thread_block::ThreadBlock;
use super::value::Value;
use super::warp::{LANES, Warp, Word, bits_of, commit, commit_predicate};

/// Instructions of this machine that the loops over lanes are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstructionSet {
    /// The target's baseline.
    Portable,
    /// AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512 F, VL, BW and DQ.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl InstructionSet {
    /// The widest that this machine has.
    pub fn detect() -> InstructionSet {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                if is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                {
                    return InstructionSet::Avx512;
                }
                return InstructionSet::Avx2;
            }
        }
        InstructionSet::Portable
    }
}

/// Does one instruction for the lanes of a mask.
///
/// # Safety
/// The machine must have the instruction set that the function was compiled for.
pub type Handler = unsafe fn(&mut Warp, &mut ThreadBlock<'_>, &Step, u32) -> Outcome;

/// A decoded instruction.
pub struct Step {
    /// What does it.
    pub run: Handler,
    /// The predicate under which it is done; 0 for always.
    pub guard: u32,
    /// All ones where it is done where the predicate is false.
    pub invert: u32,
    /// Line of the PTX.
    pub line: u32,
    /// Slots: the result, then what it is made of; what they are depends on `run`.
    pub d: u32,
    /// First source.
    pub a: u32,
    /// Second source.
    pub b: u32,
    /// Third source.
    pub c: u32,
    /// A small number that depends on `run`: a comparison's combination, a mode, a table.
    pub control: u32,
    /// Of an access to global memory: which of [`ThreadBlock::cached`] is its own.
    pub cache: u32,
    /// Bytes added to an address.
    pub offset: i64,
    /// More slots: the elements of vectors.
    pub list: Box<[u32]>,
}

/// Compiles a function for every [`InstructionSet`] and gives the version for one.
macro_rules! handlers {
    ($(
        $(#[$attribute:meta])*
        $visibility:vis fn $name:ident $(<$($generic:ident: $bound:path),+>)? = $body:ident;
    )+) => {$(
        $(#[$attribute])*
        $visibility fn $name $(<$($generic: $bound),+>)? (
            set: $crate::execute::step::InstructionSet,
        ) -> $crate::execute::step::Handler {
            use $crate::execute::{
                fault::Outcome, step::{Handler, InstructionSet, Step},
                thread_block::ThreadBlock, warp::Warp,
            };

            fn portable $(<$($generic: $bound),+>)? (
                warp: &mut Warp, block: &mut ThreadBlock<'_>, step: &Step, mask: u32,
            ) -> Outcome {
                $body $(::<$($generic),+>)? (warp, block, step, mask)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2 $(<$($generic: $bound),+>)? (
                warp: &mut Warp, block: &mut ThreadBlock<'_>, step: &Step, mask: u32,
            ) -> Outcome {
                $body $(::<$($generic),+>)? (warp, block, step, mask)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,avx512f,avx512vl,avx512bw,avx512dq")]
            fn avx512 $(<$($generic: $bound),+>)? (
                warp: &mut Warp, block: &mut ThreadBlock<'_>, step: &Step, mask: u32,
            ) -> Outcome {
                $body $(::<$($generic),+>)? (warp, block, step, mask)
            }

            match set {
                #[cfg(target_arch = "x86_64")]
                InstructionSet::Avx512 => avx512 $(::<$($generic),+>)? as Handler,
                #[cfg(target_arch = "x86_64")]
                InstructionSet::Avx2 => avx2 $(::<$($generic),+>)? as Handler,
                InstructionSet::Portable => portable $(::<$($generic),+>)? as Handler,
            }
        }
    )+};
}

pub(crate) use handlers;

/// An instruction of one source.
pub trait Unary: 'static {
    /// The source.
    type A: Value;
    /// The result.
    type D: Value;
    /// The result for one lane.
    fn apply(a: Self::A) -> Self::D;
}

/// An instruction of two sources.
pub trait Binary: 'static {
    /// The first source.
    type A: Value;
    /// The second.
    type B: Value;
    /// The result.
    type D: Value;
    /// The result for one lane.
    fn apply(a: Self::A, b: Self::B) -> Self::D;
}

/// An instruction of three sources.
pub trait Ternary: 'static {
    /// The first source.
    type A: Value;
    /// The second.
    type B: Value;
    /// The third.
    type C: Value;
    /// The result.
    type D: Value;
    /// The result for one lane.
    fn apply(a: Self::A, b: Self::B, c: Self::C) -> Self::D;
}

/// A comparison of two sources.
pub trait Compare: 'static {
    /// Both sources.
    type A: Value;
    /// The result for one lane.
    fn apply(a: Self::A, b: Self::A) -> bool;
}

handlers! {
    /// Does an instruction of one source: `d = f(a)`.
    pub fn unary<O: Unary> = unary_lanes;
    /// Does an instruction of two sources: `d = f(a, b)`.
    pub fn binary<O: Binary> = binary_lanes;
    /// Does an instruction of three sources: `d = f(a, b, c)`.
    pub fn ternary<O: Ternary> = ternary_lanes;
    /// Compares: predicate `d = f(a, b)`.
    pub fn compare<O: Compare> = compare_lanes;
    /// Compares and combines: `d = f(a, b) ∘ c`, `list[0] = !f(a, b) ∘ c`; see [`combine`].
    pub fn compare_combined<O: Compare> = compare_combined_lanes;
}

#[inline(always)]
fn unary_lanes<O: Unary>(
    warp: &mut Warp,
    _block: &mut ThreadBlock<'_>,
    step: &Step,
    mask: u32,
) -> Outcome {
    let a = <O::A as Value>::Word::lanes(warp, step.a);
    let mut result = [<O::D as Value>::Word::default(); LANES];
    for lane in 0..LANES {
        result[lane] = O::apply(O::A::read(a[lane])).write();
    }
    commit(warp, step.d, &result, mask);
    Ok(())
}

#[inline(always)]
fn binary_lanes<O: Binary>(
    warp: &mut Warp,
    _block: &mut ThreadBlock<'_>,
    step: &Step,
    mask: u32,
) -> Outcome {
    let a = <O::A as Value>::Word::lanes(warp, step.a);
    let b = <O::B as Value>::Word::lanes(warp, step.b);
    let mut result = [<O::D as Value>::Word::default(); LANES];
    for lane in 0..LANES {
        result[lane] = O::apply(O::A::read(a[lane]), O::B::read(b[lane])).write();
    }
    commit(warp, step.d, &result, mask);
    Ok(())
}

#[inline(always)]
fn ternary_lanes<O: Ternary>(
    warp: &mut Warp,
    _block: &mut ThreadBlock<'_>,
    step: &Step,
    mask: u32,
) -> Outcome {
    let a = <O::A as Value>::Word::lanes(warp, step.a);
    let b = <O::B as Value>::Word::lanes(warp, step.b);
    let c = <O::C as Value>::Word::lanes(warp, step.c);
    let mut result = [<O::D as Value>::Word::default(); LANES];
    for lane in 0..LANES {
        result[lane] =
            O::apply(O::A::read(a[lane]), O::B::read(b[lane]), O::C::read(c[lane])).write();
    }
    commit(warp, step.d, &result, mask);
    Ok(())
}

#[inline(always)]
fn compared<O: Compare>(warp: &Warp, step: &Step) -> u32 {
    let a = <O::A as Value>::Word::lanes(warp, step.a);
    let b = <O::A as Value>::Word::lanes(warp, step.b);
    let mut truths = [false; LANES];
    for lane in 0..LANES {
        truths[lane] = O::apply(O::A::read(a[lane]), O::A::read(b[lane]));
    }
    bits_of(&truths)
}

#[inline(always)]
fn compare_lanes<O: Compare>(
    warp: &mut Warp,
    _block: &mut ThreadBlock<'_>,
    step: &Step,
    mask: u32,
) -> Outcome {
    let bits = compared::<O>(warp, step);
    commit_predicate(warp, step.d, bits, mask);
    Ok(())
}

/// How `setp` combines its comparison with a predicate, by [`Step::control`].
pub fn combine(control: u32, compared: u32, other: u32) -> u32 {
    match control & 3 {
        0 => compared,
        1 => compared & other,
        2 => compared | other,
        _ => compared ^ other,
    }
}

#[inline(always)]
fn compare_combined_lanes<O: Compare>(
    warp: &mut Warp,
    _block: &mut ThreadBlock<'_>,
    step: &Step,
    mask: u32,
) -> Outcome {
    let bits = compared::<O>(warp, step);
    let other = warp.predicates[step.c as usize] ^ if step.control & 4 == 0 { 0 } else { u32::MAX };
    commit_predicate(warp, step.d, combine(step.control, bits, other), mask);
    commit_predicate(warp, step.list[0], combine(step.control, !bits, other), mask);
    Ok(())
}
