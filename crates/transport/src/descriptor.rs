//! What members compare before a collective moves anything.

use cpu_kernels::DType;
use std::fmt;

/// The kinds of collectives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum OperationKind {
    /// Everyone waits for everyone.
    Barrier = 1,
    /// One member's values to all.
    Broadcast,
    /// Every member's values to all.
    AllGather,
    /// A part of every member's values to every other.
    AllToAll,
    /// The sum over members, to all.
    AllReduce,
    /// A part of the sum over members, to each.
    ReduceScatter,
    /// Values to one member and from one.
    Exchange,
    /// New groups out of a group's members.
    Split,
}

impl OperationKind {
    /// Every kind, in declaration order.
    pub const ALL: [OperationKind; 8] = [
        Self::Barrier,
        Self::Broadcast,
        Self::AllGather,
        Self::AllToAll,
        Self::AllReduce,
        Self::ReduceScatter,
        Self::Exchange,
        Self::Split,
    ];

    /// The name in messages and ledgers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Barrier => "barrier",
            Self::Broadcast => "broadcast",
            Self::AllGather => "all-gather",
            Self::AllToAll => "all-to-all",
            Self::AllReduce => "all-reduce",
            Self::ReduceScatter => "reduce-scatter",
            Self::Exchange => "send-receive",
            Self::Split => "split",
        }
    }

    /// The kind with that number, which [`OperationKind`] as `u8` is.
    pub fn from_number(number: u64) -> Option<OperationKind> {
        Self::ALL.into_iter().find(|kind| *kind as u64 == number)
    }
}

const MAX_DIMS: usize = 8;
/// Of a descriptor's second word: bytes go another way.
const ELSEWHERE: u64 = 1 << 47;

/// What members compare of some kinds of collectives alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Nothing.
    None,
    /// The member whose values go to all.
    Root(usize),
    /// Several tensors that are shared out along another dimension.
    Reshard {
        /// How many.
        tensors: usize,
        /// The dimension before.
        gather: usize,
        /// The dimension afterwards.
        split: usize,
    },
}

impl Detail {
    /// 16 bits: for a root its place, for tensors their number (at most 8, never 0) in the upper 6
    /// and the dimensions in 5 each.
    fn pack(self) -> u64 {
        match self {
            Detail::None => 0,
            Detail::Root(member) => member as u64,
            Detail::Reshard { tensors, gather, split } => {
                let dim = |dim: usize| dim.min(31) as u64;
                (tensors.min(63) as u64) << 10 | dim(gather) << 5 | dim(split)
            }
        }
    }
}

/// 64 bytes that say what a member is about to do.
///
/// Words: sequence; kind, dtype, rank of the shape and detail in 16 bits each, the highest bit of the
/// rank's being set where bytes go another way; elements; a hash of shape and sizes; and the first eight
/// extents in 32 bits each, for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Descriptor {
    pub(crate) words: [u64; 8],
}

impl Descriptor {
    /// A descriptor.
    ///
    /// `shape` and `sizes` are what must be equal on all members; `sizes` are the uneven parts,
    /// where there are any. `elements` is their total.
    pub fn new(
        sequence: u64,
        kind: OperationKind,
        dtype: DType,
        detail: Detail,
        shape: &[usize],
        sizes: &[usize],
        elements: usize,
    ) -> Descriptor {
        let dtype = DType::ALL.iter().position(|known| *known == dtype).unwrap_or_default();
        let mut words = [0; 8];
        words[0] = sequence;
        words[1] =
            kind as u64 | (dtype as u64) << 16 | (shape.len() as u64) << 32 | detail.pack() << 48;
        words[2] = elements as u64;
        words[3] = hash(shape, sizes);
        for (dim, &size) in shape.iter().take(MAX_DIMS).enumerate() {
            words[4 + dim / 2] |=
                u64::from(u32::try_from(size).unwrap_or(u32::MAX)) << (dim % 2 * 32);
        }
        Descriptor { words }
    }

    /// The same, of a collective whose bytes go another way: it is no other's counterpart.
    pub(crate) fn elsewhere(mut self) -> Descriptor {
        self.words[1] |= ELSEWHERE;
        self
    }

    /// The collective's number within its group, from 1.
    pub fn sequence(&self) -> u64 {
        self.words[0]
    }

    /// The kind, or `None` for a descriptor that was never written.
    pub fn kind(&self) -> Option<OperationKind> {
        OperationKind::from_number(self.words[1] & 0xffff)
    }

    fn dtype(&self) -> &'static str {
        DType::ALL.get((self.words[1] >> 16 & 0xffff) as usize).map_or("?", |dtype| dtype.name())
    }
}

/// FNV-1a over lengths and values, so that [2, 3] with [4] differs from [2] with [3, 4].
fn hash(shape: &[usize], sizes: &[usize]) -> u64 {
    let numbers = [&[shape.len()], shape, &[sizes.len()], sizes].concat();
    numbers
        .iter()
        .flat_map(|number| (*number as u64).to_le_bytes())
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
}

impl fmt::Display for Descriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(kind) = self.kind() else { return write!(f, "nothing") };
        let rank = (self.words[1] >> 32 & 0x7fff) as usize;
        let dims: Vec<_> = (0..rank.min(MAX_DIMS))
            .map(|dim| (self.words[4 + dim / 2] >> (dim % 2 * 32) & 0xffff_ffff).to_string())
            .collect();
        write!(f, "{} #{}", kind.name(), self.sequence())?;
        if matches!(kind, OperationKind::Barrier) {
            return Ok(());
        }
        if matches!(kind, OperationKind::Broadcast) {
            write!(f, " from member {}", self.words[1] >> 48)?;
        }
        let detail = self.words[1] >> 48;
        let resharded = matches!(kind, OperationKind::AllToAll) && detail > 0;
        let (dtype, dims) = (self.dtype(), dims.join(", "));
        match detail >> 10 {
            count if resharded && count > 1 => write!(f, " of {count} × {dtype} [{dims}]")?,
            _ => write!(f, " of {dtype} [{dims}]")?,
        }
        if resharded {
            write!(f, ", dimension {} gathered and {} split", detail >> 5 & 31, detail & 31)?;
        }
        write!(f, ", {} elements, sizes {:08x}", self.words[2], self.words[3] as u32)?;
        if self.words[1] & ELSEWHERE != 0 { write!(f, ", between devices") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(shape: &[usize], sizes: &[usize]) -> Descriptor {
        Descriptor::new(
            7,
            OperationKind::AllGather,
            DType::BFloat16,
            Detail::None,
            shape,
            sizes,
            12,
        )
    }

    #[test]
    fn differs_wherever_members_may_disagree() {
        let base = descriptor(&[2, 6], &[1, 1]);
        assert_eq!(base, descriptor(&[2, 6], &[1, 1]));
        assert_ne!(base, descriptor(&[3, 4], &[1, 1]));
        assert_ne!(base, descriptor(&[2, 6], &[0, 2]));
        assert_ne!(descriptor(&[2, 3], &[4]), descriptor(&[2], &[3, 4]));
        let other = |sequence, kind, dtype| {
            Descriptor::new(sequence, kind, dtype, Detail::None, &[2, 6], &[1, 1], 12)
        };
        assert_ne!(base, other(8, OperationKind::AllGather, DType::BFloat16));
        assert_ne!(base, other(7, OperationKind::AllToAll, DType::BFloat16));
        assert_ne!(base, other(7, OperationKind::AllGather, DType::Float16));
    }

    #[test]
    fn reads_as_a_line() {
        let line = descriptor(&[2, 6], &[]).to_string();
        assert!(line.starts_with("all-gather #7 of bfloat16 [2, 6], 12 elements"), "{line}");
        let detail = Detail::Reshard { tensors: 3, gather: 1, split: 2 };
        let (kind, shape) = (OperationKind::AllToAll, [1, 13, 5, 8]);
        let line = Descriptor::new(8, kind, DType::Float32, detail, &shape, &[7, 6, 3, 2], 1560);
        let expected =
            "all-to-all #8 of 3 × float32 [1, 13, 5, 8], dimension 1 gathered and 2 split, 1560";
        assert!(line.to_string().starts_with(expected), "{line}");
        let elsewhere = descriptor(&[2, 6], &[]).elsewhere();
        assert_ne!(elsewhere, descriptor(&[2, 6], &[]));
        let line = elsewhere.to_string();
        assert!(line.starts_with("all-gather #7 of bfloat16 [2, 6], 12 elements"), "{line}");
        assert!(line.ends_with(", between devices"), "{line}");
        assert_eq!(Descriptor::default().to_string(), "nothing");
        assert_eq!(size_of::<Descriptor>(), 64);
    }
}
