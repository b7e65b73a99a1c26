//! What an instruction works on.

use super::RegisterId;

/// A number written in an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Immediate {
    /// A whole number; a negative one in two's complement of 64 bits.
    Integer(u64),
    /// Bits of a float32 (`0f…`).
    F32(u32),
    /// Bits of a float64 (`0d…`).
    F64(u64),
}

impl Immediate {
    /// The number that `text` writes, negated where `negative`.
    pub fn parse(text: &str, negative: bool) -> Option<Immediate> {
        let signed = |value: u64| if negative { value.wrapping_neg() } else { value };
        let radix = |digits: &str, radix| {
            u64::from_str_radix(digits.trim_end_matches('U'), radix).ok().map(signed)
        };
        let prefix = text.get(..2).unwrap_or("");
        match prefix {
            "0f" | "0F" if text.len() == 10 => {
                let bits = u32::from_str_radix(&text[2..], 16).ok()?;
                Some(Immediate::F32(if negative { bits ^ 0x8000_0000 } else { bits }))
            }
            "0d" | "0D" if text.len() == 18 => {
                let bits = u64::from_str_radix(&text[2..], 16).ok()?;
                Some(Immediate::F64(if negative { bits ^ (1 << 63) } else { bits }))
            }
            "0x" | "0X" => radix(&text[2..], 16).map(Immediate::Integer),
            "0b" | "0B" => radix(&text[2..], 2).map(Immediate::Integer),
            _ if text.contains('.') => {
                let value: f64 = text.parse().ok()?;
                Some(Immediate::F64((if negative { -value } else { value }).to_bits()))
            }
            _ if text.len() > 1 && text.starts_with('0') => {
                radix(&text[1..], 8).map(Immediate::Integer)
            }
            _ => radix(text, 10).map(Immediate::Integer),
        }
    }
}

/// What an address is counted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base<'a> {
    /// A register.
    Register(RegisterId),
    /// A parameter or variable.
    Symbol(&'a str),
    /// Nothing: the displacement is the address.
    Zero,
}

/// An operand as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operand<'a> {
    /// A register.
    Register(RegisterId),
    /// A predicate, negated.
    Negated(RegisterId),
    /// A number.
    Immediate(Immediate),
    /// `{ … }`.
    Vector(Vec<Operand<'a>>),
    /// `[base + displacement]`.
    Address {
        /// Where it begins.
        base: Base<'a>,
        /// Bytes added.
        displacement: i64,
    },
    /// `[base, {coordinates}]`: a place in a tensor that a map describes.
    Tensor {
        /// The map's address.
        map: RegisterId,
        /// One number for each dimension.
        coordinates: Vec<Operand<'a>>,
    },
    /// `first|second`: two destinations.
    Pair(Box<Operand<'a>>, Box<Operand<'a>>),
    /// A variable, parameter, label or special register.
    Symbol(&'a str),
    /// `_`: a result that nobody wants.
    Sink,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_way_to_write_a_number() {
        let parse = |text| Immediate::parse(text, false);
        assert_eq!(parse("12"), Some(Immediate::Integer(12)));
        assert_eq!(parse("0"), Some(Immediate::Integer(0)));
        assert_eq!(parse("0x3340U"), Some(Immediate::Integer(0x3340)));
        assert_eq!(parse("017"), Some(Immediate::Integer(15)));
        assert_eq!(parse("0b101"), Some(Immediate::Integer(5)));
        assert_eq!(parse("0f3F800000"), Some(Immediate::F32(0x3f80_0000)));
        assert_eq!(parse("0d3FF0000000000000"), Some(Immediate::F64(0x3ff0 << 48)));
        assert_eq!(parse("0.5"), Some(Immediate::F64(0.5_f64.to_bits())));
        assert_eq!(Immediate::parse("1", true), Some(Immediate::Integer(u64::MAX)));
        assert_eq!(parse("0f3F8"), None);
        assert_eq!(parse("12x"), None);
    }
}
