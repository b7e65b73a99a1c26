//! Conversions lane by lane, for every pair of types.

use super::conversion::Packed;
use super::fault::Outcome;
use super::half::{Rounding, round};
use super::step::{Handler, InstructionSet, Step, handlers};
use super::thread_block::ThreadBlock;
use super::value::{Brain, Half, Small, Value};
use super::warp::{LANES, Warp, Word, commit};

/// A type of floats, as conversions see it.
trait Float: Value {
    /// The number, which float64 holds exactly.
    fn number(self) -> f64;
    /// The number rounded.
    fn rounded(value: f64, rounding: Rounding) -> Self;
    /// Whether `.ftz` is for it.
    const FLUSHES: bool = false;
    /// Whether not-a-number converts to the whole number of the highest bit alone.
    const WIDE: bool = false;
}

impl Float for f32 {
    fn number(self) -> f64 {
        self.into()
    }

    fn rounded(value: f64, rounding: Rounding) -> f32 {
        if value.is_nan() {
            return f32::from_bits(0x7fff_ffff);
        }
        round(value, 23, -126, rounding) as f32
    }

    const FLUSHES: bool = true;
}

impl Float for f64 {
    fn number(self) -> f64 {
        self
    }

    fn rounded(value: f64, _rounding: Rounding) -> f64 {
        value
    }

    const WIDE: bool = true;
}

impl<S: Small> Float for S {
    fn number(self) -> f64 {
        self.to_f32().into()
    }

    fn rounded(value: f64, rounding: Rounding) -> S {
        S::from_f32(round(value, S::FRACTION, S::LEAST, rounding) as f32)
    }
}

fn flushed<F: Float>(value: f64, packed: Packed) -> f64 {
    let subnormal = value.abs() < f64::from(f32::MIN_POSITIVE);
    if F::FLUSHES && packed.ftz() && subnormal { 0.0_f64.copysign(value) } else { value }
}

fn whole(value: f64, rounding: Rounding) -> f64 {
    match rounding {
        Rounding::Nearest => value.round_ties_even(),
        Rounding::Zero => value.trunc(),
        Rounding::Down => value.floor(),
        Rounding::Up => value.ceil(),
    }
}

handlers! {
    fn integers<A: Word, D: Word> = integers_lanes;
    fn integer_float<A: Word, F: Float> = integer_float_lanes;
    fn float_integer<F: Float, D: Word> = float_integer_lanes;
    fn floats<A: Float, D: Float> = floats_lanes;
}

fn integers_lanes<A: Word, D: Word>(
    warp: &mut Warp,
    _block: &mut ThreadBlock<'_>,
    step: &Step,
    mask: u32,
) -> Outcome {
    let packed = Packed(step.control);
    let (least, greatest) = packed.range();
    let result = A::lanes(warp, step.a).map(|word| {
        let value = packed.integer(word.bits());
        let value = if packed.sat() { value.clamp(least, greatest) } else { value };
        D::truncate(packed.register(value))
    });
    commit(warp, step.d, &result, mask);
    Ok(())
}

/// A whole number as a float64 that rounds to fewer bits as the number itself would.
fn odd(value: i128) -> f64 {
    let magnitude = value.unsigned_abs();
    let spare = (128 - magnitude.leading_zeros()).saturating_sub(53);
    let kept = magnitude >> spare;
    let lost = magnitude != kept << spare;
    let float = (kept | u128::from(lost)) as f64 * 2.0_f64.powi(spare as i32);
    if value < 0 { -float } else { float }
}

fn integer_float_lanes<A: Word, F: Float>(
    warp: &mut Warp,
    _block: &mut ThreadBlock<'_>,
    step: &Step,
    mask: u32,
) -> Outcome {
    let packed = Packed(step.control);
    let a = *A::lanes(warp, step.a);
    let mut result = [<F::Word as Default>::default(); LANES];
    for lane in 0..LANES {
        let value = packed.integer(a[lane].bits());
        let float = if F::WIDE { value as f64 } else { odd(value) };
        let float = if packed.sat() { float.clamp(0.0, 1.0) } else { float };
        result[lane] = F::rounded(float, packed.rounding()).write();
    }
    commit(warp, step.d, &result, mask);
    Ok(())
}

fn float_integer_lanes<F: Float, D: Word>(
    warp: &mut Warp,
    _block: &mut ThreadBlock<'_>,
    step: &Step,
    mask: u32,
) -> Outcome {
    let packed = Packed(step.control);
    let (least, greatest) = packed.range();
    let a = *F::Word::lanes(warp, step.a);
    let mut result = [D::default(); LANES];
    for lane in 0..LANES {
        let value = flushed::<F>(F::read(a[lane]).number(), packed);
        let number = if value.is_nan() {
            // By PTX's table of what not-a-number becomes.
            if F::WIDE || packed.target_bits() == 64 { 1 << (packed.target_bits() - 1) } else { 0 }
        } else {
            (whole(value, packed.rounding()) as i128).clamp(least, greatest)
        };
        result[lane] = D::truncate(packed.register(number));
    }
    commit(warp, step.d, &result, mask);
    Ok(())
}

fn floats_lanes<A: Float, D: Float>(
    warp: &mut Warp,
    _block: &mut ThreadBlock<'_>,
    step: &Step,
    mask: u32,
) -> Outcome {
    let packed = Packed(step.control);
    let a = *A::Word::lanes(warp, step.a);
    let mut result = [<D::Word as Default>::default(); LANES];
    for lane in 0..LANES {
        let mut value = flushed::<A>(A::read(a[lane]).number(), packed);
        if packed.whole() {
            value = whole(value, packed.rounding()).copysign(value);
        }
        if packed.sat() {
            value = if value > 0.0 { value.min(1.0) } else { 0.0 };
        }
        let rounded = D::rounded(value, packed.rounding());
        let flush = flushed::<D>(rounded.number(), packed);
        result[lane] =
            if flush == 0.0 { D::rounded(flush, Rounding::Nearest) } else { rounded }.write();
    }
    commit(warp, step.d, &result, mask);
    Ok(())
}

/// Between whole numbers.
pub fn integer_to_integer(from: bool, to: bool, set: InstructionSet) -> Option<Handler> {
    Some(match (from, to) {
        (false, false) => integers::<u32, u32>(set),
        (false, true) => integers::<u32, u64>(set),
        (true, false) => integers::<u64, u32>(set),
        (true, true) => integers::<u64, u64>(set),
    })
}

/// From a whole number in a register of 64 bits, or fewer.
pub fn integer_to_float(long: bool, to: &str, set: InstructionSet) -> Option<Handler> {
    Some(match (long, to) {
        (false, "f16") => integer_float::<u32, Half>(set),
        (false, "bf16") => integer_float::<u32, Brain>(set),
        (false, "f32") => integer_float::<u32, f32>(set),
        (false, "f64") => integer_float::<u32, f64>(set),
        (true, "f16") => integer_float::<u64, Half>(set),
        (true, "bf16") => integer_float::<u64, Brain>(set),
        (true, "f32") => integer_float::<u64, f32>(set),
        (true, "f64") => integer_float::<u64, f64>(set),
        _ => return None,
    })
}

/// To a whole number in a register of 64 bits, or fewer.
pub fn float_to_integer(from: &str, long: bool, set: InstructionSet) -> Option<Handler> {
    Some(match (from, long) {
        ("f16", false) => float_integer::<Half, u32>(set),
        ("bf16", false) => float_integer::<Brain, u32>(set),
        ("f32", false) => float_integer::<f32, u32>(set),
        ("f64", false) => float_integer::<f64, u32>(set),
        ("f16", true) => float_integer::<Half, u64>(set),
        ("bf16", true) => float_integer::<Brain, u64>(set),
        ("f32", true) => float_integer::<f32, u64>(set),
        ("f64", true) => float_integer::<f64, u64>(set),
        _ => return None,
    })
}

/// Between floats.
pub fn float_to_float(from: &str, to: &str, set: InstructionSet) -> Option<Handler> {
    macro_rules! to {
        ($from:ty) => {
            match to {
                "f16" => floats::<$from, Half>(set),
                "bf16" => floats::<$from, Brain>(set),
                "f32" => floats::<$from, f32>(set),
                "f64" => floats::<$from, f64>(set),
                _ => return None,
            }
        };
    }
    Some(match from {
        "f16" => to!(Half),
        "bf16" => to!(Brain),
        "f32" => to!(f32),
        "f64" => to!(f64),
        _ => return None,
    })
}
