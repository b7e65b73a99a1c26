//! Which instructions this machine has, and which a kernel may use.

/// Instruction sets that kernels are written for, narrowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InstructionSet {
    /// Plain Rust; the compiler vectorises for the target's baseline (SSE2, NEON).
    Portable,
    /// x86-64 with AVX2, FMA and F16C.
    Avx2,
    /// x86-64 with AVX-512 F, VL, BW and DQ.
    Avx512,
    /// [`InstructionSet::Avx512`] and `avx512_bf16` (Zen 4, Zen 5, Sapphire Rapids).
    Avx512Bf16,
}

impl InstructionSet {
    /// Every instruction set, narrowest first.
    pub const ALL: [InstructionSet; 4] = [
        InstructionSet::Portable,
        InstructionSet::Avx2,
        InstructionSet::Avx512,
        InstructionSet::Avx512Bf16,
    ];

    /// The widest set this machine has.
    pub fn detect() -> InstructionSet {
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
                && is_x86_feature_detected!("f16c");
            let avx512 = avx2
                && is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq");
            if avx512 && is_x86_feature_detected!("avx512bf16") {
                return InstructionSet::Avx512Bf16;
            }
            if avx512 {
                return InstructionSet::Avx512;
            }
            if avx2 {
                return InstructionSet::Avx2;
            }
        }
        InstructionSet::Portable
    }

    /// Every set that this machine has, narrowest first.
    pub fn available() -> Vec<InstructionSet> {
        let widest = InstructionSet::detect();
        InstructionSet::ALL.into_iter().filter(|set| *set <= widest).collect()
    }

    /// The name used in flags and reports.
    pub const fn name(self) -> &'static str {
        match self {
            InstructionSet::Portable => "portable",
            InstructionSet::Avx2 => "avx2",
            InstructionSet::Avx512 => "avx512",
            InstructionSet::Avx512Bf16 => "avx512bf16",
        }
    }

    /// The set that [`InstructionSet::name`] gives that name to.
    pub fn from_name(name: &str) -> Option<InstructionSet> {
        InstructionSet::ALL.into_iter().find(|set| set.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for set in InstructionSet::ALL {
            assert_eq!(InstructionSet::from_name(set.name()), Some(set));
        }
        assert_eq!(InstructionSet::from_name("sse9"), None);
    }

    #[test]
    fn the_detected_set_is_available() {
        assert!(InstructionSet::available().contains(&InstructionSet::detect()));
        assert!(InstructionSet::available().contains(&InstructionSet::Portable));
    }
}
