//! Conversions in general: which, and how one lane's number is converted.

use super::fault::Outcome;
use super::half::{Rounding, round};
use super::step::{Handler, InstructionSet, Step, handlers};
use super::thread_block::ThreadBlock;
use super::value::{Brain, Half, Small, Value};
use super::warp::{LANES, Warp, Word, commit};

/// A type of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Whether it is a float.
    pub float: bool,
    /// Whether it is signed.
    pub signed: bool,
    /// Its bits.
    pub bits: u32,
}

/// The type that PTX calls `name`.
pub fn kind_of(name: &str) -> Option<Kind> {
    let (float, signed, bits) = match name {
        "u8" => (false, false, 8),
        "u16" => (false, false, 16),
        "u32" => (false, false, 32),
        "u64" => (false, false, 64),
        "s8" => (false, true, 8),
        "s16" => (false, true, 16),
        "s32" => (false, true, 32),
        "s64" => (false, true, 64),
        "f16" | "bf16" => (true, true, 16),
        "f32" => (true, true, 32),
        "f64" => (true, true, 64),
        _ => return None,
    };
    Some(Kind { float, signed, bits })
}

/// How a conversion rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounds {
    /// To a number of the target's type.
    Target(Rounding),
    /// To a whole number first.
    Whole(Rounding),
}

/// A conversion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conversion {
    /// How it rounds.
    pub rounds: Rounds,
    /// Subnormal float32 are 0.
    pub ftz: bool,
    /// Kept within the target's range: that of a type of whole numbers, or 0 to 1.
    pub sat: bool,
    /// From.
    pub from: Kind,
    /// To.
    pub to: Kind,
}

impl Conversion {
    /// The conversion with these modifiers; none where one isn't known.
    pub fn new(options: &[&str], from: Kind, to: Kind) -> Option<Conversion> {
        let rounds = Rounds::Target(Rounding::Nearest);
        let mut conversion = Conversion { rounds, ftz: false, sat: false, from, to };
        for option in options {
            match *option {
                "rn" => conversion.rounds = Rounds::Target(Rounding::Nearest),
                "rz" => conversion.rounds = Rounds::Target(Rounding::Zero),
                "rm" => conversion.rounds = Rounds::Target(Rounding::Down),
                "rp" => conversion.rounds = Rounds::Target(Rounding::Up),
                "rni" => conversion.rounds = Rounds::Whole(Rounding::Nearest),
                "rzi" => conversion.rounds = Rounds::Whole(Rounding::Zero),
                "rmi" => conversion.rounds = Rounds::Whole(Rounding::Down),
                "rpi" => conversion.rounds = Rounds::Whole(Rounding::Up),
                "ftz" => conversion.ftz = true,
                "sat" => conversion.sat = true,
                _ => return None,
            }
        }
        // A float becomes a whole number only by rounding to one.
        let whole = matches!(conversion.rounds, Rounds::Whole(_));
        (!from.float || to.float || whole).then_some(conversion)
    }

    /// As [`Step::control`], with the bits of the target's register.
    pub fn pack(&self, register: u32) -> u32 {
        let direction = |rounding| match rounding {
            Rounding::Nearest => 0,
            Rounding::Zero => 1,
            Rounding::Down => 2,
            Rounding::Up => 3,
        };
        let rounds = match self.rounds {
            Rounds::Target(rounding) => direction(rounding),
            Rounds::Whole(rounding) => 4 | direction(rounding),
        };
        let size = |bits: u32| bits.trailing_zeros() - 3;
        rounds
            | u32::from(self.ftz) << 3
            | u32::from(self.sat) << 4
            | u32::from(self.from.signed) << 5
            | u32::from(self.to.signed) << 6
            | size(self.from.bits) << 7
            | size(self.to.bits) << 9
            | size(register) << 11
    }
}

/// What [`Conversion::pack`] packed.
#[derive(Clone, Copy)]
struct Packed(u32);

impl Packed {
    fn rounding(self) -> Rounding {
        match self.0 & 3 {
            0 => Rounding::Nearest,
            1 => Rounding::Zero,
            2 => Rounding::Down,
            _ => Rounding::Up,
        }
    }

    fn whole(self) -> bool {
        self.0 & 4 != 0
    }

    fn ftz(self) -> bool {
        self.0 & 8 != 0
    }

    fn sat(self) -> bool {
        self.0 & 16 != 0
    }

    fn source_signed(self) -> bool {
        self.0 & 32 != 0
    }

    fn target_signed(self) -> bool {
        self.0 & 64 != 0
    }

    fn source_bits(self) -> u32 {
        8 << (self.0 >> 7 & 3)
    }

    fn target_bits(self) -> u32 {
        8 << (self.0 >> 9 & 3)
    }

    fn register_bits(self) -> u32 {
        8 << (self.0 >> 11 & 3)
    }

    /// The least and the greatest whole number of the target's type.
    fn range(self) -> (i128, i128) {
        let bits = self.target_bits();
        if self.target_signed() {
            (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
        } else {
            (0, (1 << bits) - 1)
        }
    }

    /// The register that holds a whole number: a signed one fills it.
    fn register(self, value: i128) -> u64 {
        let unused = 128 - self.target_bits();
        let value = if self.target_signed() {
            value << unused >> unused
        } else {
            ((value as u128) << unused >> unused) as i128
        };
        value as u64 & (u64::MAX >> (64 - self.register_bits()))
    }

    /// The whole number that a register holds.
    fn integer(self, bits: u64) -> i128 {
        let unused = 128 - self.source_bits();
        if self.source_signed() {
            i128::from(bits) << unused >> unused
        } else {
            (u128::from(bits) << unused >> unused) as i128
        }
    }
}

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
