//! Element types.

/// The element type of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DType {
    /// IEEE single precision.
    Float32,
    /// The upper half of a `Float32`: eight exponent bits, seven of mantissa.
    BFloat16,
    /// IEEE half precision.
    Float16,
    /// Signed 32-bit integer.
    Int32,
    /// Signed 64-bit integer.
    Int64,
    /// Signed byte.
    Int8,
    /// Unsigned byte.
    UInt8,
}

impl DType {
    /// Every element type, in declaration order.
    pub const ALL: [DType; 7] = [
        DType::Float32,
        DType::BFloat16,
        DType::Float16,
        DType::Int32,
        DType::Int64,
        DType::Int8,
        DType::UInt8,
    ];

    /// Bytes of one element.
    pub const fn size(self) -> usize {
        match self {
            DType::Float32 | DType::Int32 => 4,
            DType::BFloat16 | DType::Float16 => 2,
            DType::Int64 => 8,
            DType::Int8 | DType::UInt8 => 1,
        }
    }

    /// Whether the type is a floating-point one.
    pub const fn is_float(self) -> bool {
        matches!(self, DType::Float32 | DType::BFloat16 | DType::Float16)
    }

    /// The name used on the TypeScript side.
    pub const fn name(self) -> &'static str {
        match self {
            DType::Float32 => "float32",
            DType::BFloat16 => "bfloat16",
            DType::Float16 => "float16",
            DType::Int32 => "int32",
            DType::Int64 => "int64",
            DType::Int8 => "int8",
            DType::UInt8 => "uint8",
        }
    }

    /// The type that [`DType::name`] gives that name to.
    pub fn from_name(name: &str) -> Option<DType> {
        DType::ALL.into_iter().find(|dtype| dtype.name() == name)
    }
}
