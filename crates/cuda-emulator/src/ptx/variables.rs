//! Variables of a module or kernel.

/// Where a variable lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// Device memory, for the module's life.
    Global,
    /// Device memory that kernels only read.
    Constant,
    /// A block's memory.
    Shared,
    /// A thread's memory.
    Local,
    /// A kernel's arguments.
    Parameter,
}

/// A variable that a module or kernel declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Where it lies.
    pub space: Space,
    /// Bytes that its address is a multiple of.
    pub align: usize,
    /// Bytes; of no meaning where `dynamic`.
    pub bytes: usize,
    /// Declared without a size (`.extern .shared x[]`): as large as the launch says.
    pub dynamic: bool,
    /// The first bytes' values; zeros follow.
    pub values: Vec<u8>,
}

/// Bytes of an element of the type `name` (with its point), for variables, loads and stores.
pub fn type_bytes(name: &str) -> Option<usize> {
    Some(match name {
        ".b8" | ".u8" | ".s8" => 1,
        ".b16" | ".u16" | ".s16" | ".f16" | ".bf16" => 2,
        ".b32" | ".u32" | ".s32" | ".f32" | ".f16x2" | ".bf16x2" | ".tf32" => 4,
        ".b64" | ".u64" | ".s64" | ".f64" => 8,
        ".b128" => 16,
        _ => return None,
    })
}
