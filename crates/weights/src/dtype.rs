//! Element types as safetensors names them.

/// An element type of the safetensors format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoredDType {
    /// IEEE 754 single precision.
    F32,
    /// IEEE 754 half precision.
    F16,
    /// bfloat16.
    BF16,
    /// Signed 32-bit integers.
    I32,
    /// Signed 64-bit integers.
    I64,
    /// Signed bytes.
    I8,
    /// Unsigned bytes.
    U8,
    /// A type that the format has and this project can't compute with, by its name and bits.
    Unsupported {
        /// The name in the format.
        name: &'static str,
        /// Bits of an element.
        bits: usize,
    },
}

/// The format's other types, so that a file which has some, beside supported ones, can be opened.
const UNSUPPORTED: [(&str, usize); 15] = [
    ("F64", 64),
    ("U64", 64),
    ("C64", 64),
    ("U32", 32),
    ("I16", 16),
    ("U16", 16),
    ("BOOL", 8),
    ("F8_E4M3", 8),
    ("F8_E5M2", 8),
    ("F8_E8M0", 8),
    ("F8_E4M3FNUZ", 8),
    ("F8_E5M2FNUZ", 8),
    ("F6_E2M3", 6),
    ("F6_E3M2", 6),
    ("F4", 4),
];

impl StoredDType {
    /// The types that this project can compute with.
    pub const SUPPORTED: [StoredDType; 7] =
        [Self::F32, Self::F16, Self::BF16, Self::I32, Self::I64, Self::I8, Self::U8];

    /// The type that the format calls `name`.
    pub fn from_name(name: &str) -> Option<StoredDType> {
        Self::SUPPORTED.into_iter().find(|dtype| dtype.name() == name).or_else(|| {
            UNSUPPORTED
                .iter()
                .find(|(known, _)| *known == name)
                .map(|&(name, bits)| Self::Unsupported { name, bits })
        })
    }

    /// The name in the format.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
            Self::I32 => "I32",
            Self::I64 => "I64",
            Self::I8 => "I8",
            Self::U8 => "U8",
            Self::Unsupported { name, .. } => name,
        }
    }

    /// Bits of an element.
    pub const fn bits(self) -> usize {
        match self {
            Self::I64 => 64,
            Self::F32 | Self::I32 => 32,
            Self::F16 | Self::BF16 => 16,
            Self::I8 | Self::U8 => 8,
            Self::Unsupported { bits, .. } => bits,
        }
    }

    /// Whether this project can compute with it.
    pub const fn is_supported(self) -> bool {
        !matches!(self, Self::Unsupported { .. })
    }

    /// Bytes of a tensor of `shape`; `None` where they overflow or the last one isn't full.
    pub fn bytes_of(self, shape: &[usize]) -> Option<usize> {
        let bits = shape
            .iter()
            .try_fold(1usize, |count, &extent| count.checked_mul(extent))?
            .checked_mul(self.bits())?;
        bits.is_multiple_of(8).then_some(bits / 8)
    }

    /// What the address of a tensor of this type must be a multiple of, to be read in place.
    pub const fn alignment(self) -> usize {
        let bytes = self.bits() / 8;
        if bytes == 0 { 1 } else { bytes }
    }

    /// The supported names, for messages.
    pub(crate) fn supported_names() -> String {
        Self::SUPPORTED.map(Self::name).join(", ")
    }

    /// All names of the format, for messages.
    pub(crate) fn known_names() -> String {
        let names: Vec<&str> = UNSUPPORTED.iter().map(|&(name, _)| name).collect();
        format!("{}, {}", Self::supported_names(), names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_find_their_types() {
        for name in StoredDType::known_names().split(", ") {
            assert_eq!(StoredDType::from_name(name).map(StoredDType::name), Some(name));
        }
        assert_eq!(StoredDType::from_name("F128"), None);
        assert_eq!(StoredDType::from_name("f32"), None);
    }

    #[test]
    fn bytes_are_counted_without_overflow() {
        assert_eq!(StoredDType::F32.bytes_of(&[2, 3]), Some(24));
        assert_eq!(StoredDType::BF16.bytes_of(&[]), Some(2));
        assert_eq!(StoredDType::I64.bytes_of(&[0, 7]), Some(0));
        assert_eq!(StoredDType::U8.bytes_of(&[usize::MAX, 2]), None);
        assert_eq!(StoredDType::F32.bytes_of(&[usize::MAX / 4]), None);
        let f4 = StoredDType::from_name("F4").unwrap();
        assert_eq!((f4.bytes_of(&[4]), f4.bytes_of(&[3]), f4.alignment()), (Some(2), None, 1));
    }
}
