//! Registers that tell a thread where it is.

/// A special register of a whole number of 32 bits that doesn't change while a block runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Special {
    /// Index of the thread in its block along an axis.
    Thread(usize),
    /// Threads of a block along an axis.
    Threads(usize),
    /// Index of the block in the grid along an axis.
    Block(usize),
    /// Blocks of the grid along an axis.
    Blocks(usize),
    /// Index of the thread in its warp.
    Lane,
    /// Index of the warp in its block.
    Warp,
    /// Warps of a block.
    Warps,
    /// Bits of the lanes equal to, below, up to, above, and from this one.
    LanesEqual,
    /// As above.
    LanesBelow,
    /// As above.
    LanesUpTo,
    /// As above.
    LanesAbove,
    /// As above.
    LanesFrom,
    /// 32.
    WarpSize,
    /// Bytes of shared memory that the launch asked for.
    DynamicShared,
}

impl Special {
    /// The register that PTX calls `name`.
    pub fn parse(name: &str) -> Option<Special> {
        let axis = |axis: &str| ["x", "y", "z"].iter().position(|found| *found == axis);
        if let Some((register, component)) = name.split_once('.') {
            let axis = axis(component)?;
            return match register {
                "%tid" => Some(Special::Thread(axis)),
                "%ntid" => Some(Special::Threads(axis)),
                "%ctaid" => Some(Special::Block(axis)),
                "%nctaid" => Some(Special::Blocks(axis)),
                _ => None,
            };
        }
        Some(match name {
            "%laneid" => Special::Lane,
            "%warpid" => Special::Warp,
            "%nwarpid" => Special::Warps,
            "%lanemask_eq" => Special::LanesEqual,
            "%lanemask_lt" => Special::LanesBelow,
            "%lanemask_le" => Special::LanesUpTo,
            "%lanemask_gt" => Special::LanesAbove,
            "%lanemask_ge" => Special::LanesFrom,
            "WARP_SZ" => Special::WarpSize,
            "%dynamic_smem_size" => Special::DynamicShared,
            _ => return None,
        })
    }
}
