//! One loop, compiled for several instruction sets.

/// Compiles a function once for every [`crate::InstructionSet`], and calls the version that its
/// first argument names. Functions it calls take part where they are `#[inline(always)]`.
///
/// Rust never contracts a product and a sum, and never reorders floating-point sums, so all
/// versions give the same bytes.
macro_rules! per_instruction_set {
    ($(
        $(#[$attribute:meta])*
        $visibility:vis fn $name:ident $(<$($generic:ident: $bound:path),+>)? (
            $($argument:ident: $type:ty),* $(,)?
        ) $(-> $result:ty)? $body:block
    )+) => {$(
        $(#[$attribute])*
        $visibility fn $name $(<$($generic: $bound),+>)? (
            instruction_set: $crate::InstructionSet,
            $($argument: $type),*
        ) $(-> $result)? {
            #[inline(always)]
            fn portable $(<$($generic: $bound),+>)? ($($argument: $type),*) $(-> $result)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c")]
            fn avx2 $(<$($generic: $bound),+>)? ($($argument: $type),*) $(-> $result)? {
                portable $(::<$($generic),+>)? ($($argument),*)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c,avx512f,avx512vl,avx512bw,avx512dq")]
            fn avx512 $(<$($generic: $bound),+>)? ($($argument: $type),*) $(-> $result)? {
                portable $(::<$($generic),+>)? ($($argument),*)
            }

            match instruction_set {
                #[cfg(target_arch = "x86_64")]
                $crate::InstructionSet::Avx512 | $crate::InstructionSet::Avx512Bf16 => {
                    // SAFETY: a `Cpu` names only instruction sets that the machine has.
                    unsafe { avx512 $(::<$($generic),+>)? ($($argument),*) }
                }
                #[cfg(target_arch = "x86_64")]
                $crate::InstructionSet::Avx2 => {
                    // SAFETY: as above.
                    unsafe { avx2 $(::<$($generic),+>)? ($($argument),*) }
                }
                _ => portable $(::<$($generic),+>)? ($($argument),*),
            }
        }
    )+};
}

pub(crate) use per_instruction_set;
