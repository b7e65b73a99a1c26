//! Which conversion a `cvt` is.

use super::half::Rounding;

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

    /// As [`super::step::Step::control`], with the bits of the target's register.
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
pub struct Packed(pub u32);

impl Packed {
    /// The direction of rounding.
    pub fn rounding(self) -> Rounding {
        match self.0 & 3 {
            0 => Rounding::Nearest,
            1 => Rounding::Zero,
            2 => Rounding::Down,
            _ => Rounding::Up,
        }
    }

    /// Whether it rounds to a whole number first.
    pub fn whole(self) -> bool {
        self.0 & 4 != 0
    }

    /// Whether subnormal float32 are 0.
    pub fn ftz(self) -> bool {
        self.0 & 8 != 0
    }

    /// Whether the result is kept within a range.
    pub fn sat(self) -> bool {
        self.0 & 16 != 0
    }

    /// Whether the source is signed.
    pub fn source_signed(self) -> bool {
        self.0 & 32 != 0
    }

    /// Whether the target is signed.
    pub fn target_signed(self) -> bool {
        self.0 & 64 != 0
    }

    /// Bits of the source.
    pub fn source_bits(self) -> u32 {
        8 << (self.0 >> 7 & 3)
    }

    /// Bits of the target.
    pub fn target_bits(self) -> u32 {
        8 << (self.0 >> 9 & 3)
    }

    /// Bits of the target's register.
    pub fn register_bits(self) -> u32 {
        8 << (self.0 >> 11 & 3)
    }

    /// The least and the greatest whole number of the target's type.
    pub fn range(self) -> (i128, i128) {
        let bits = self.target_bits();
        if self.target_signed() {
            (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
        } else {
            (0, (1 << bits) - 1)
        }
    }

    /// The register that holds a whole number: a signed one fills it.
    pub fn register(self, value: i128) -> u64 {
        let unused = 128 - self.target_bits();
        let value = if self.target_signed() {
            value << unused >> unused
        } else {
            ((value as u128) << unused >> unused) as i128
        };
        value as u64 & (u64::MAX >> (64 - self.register_bits()))
    }

    /// The whole number that a register holds.
    pub fn integer(self, bits: u64) -> i128 {
        let unused = 128 - self.source_bits();
        if self.source_signed() {
            i128::from(bits) << unused >> unused
        } else {
            (u128::from(bits) << unused >> unused) as i128
        }
    }
}
