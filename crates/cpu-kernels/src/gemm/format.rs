//! Which kernel multiplies operands of which format.

#[cfg(target_arch = "x86_64")]
use super::avx2::Avx2;
#[cfg(target_arch = "x86_64")]
use super::avx512::{Avx512, Avx512Bf16};
#[cfg(target_arch = "x86_64")]
use super::kernel::Kernel;
use super::number::{Brain, Half, Number, Single};

/// A format with a kernel for each instruction set of x86-64, beside the portable one.
pub(crate) trait Format: Number {
    /// With AVX2.
    #[cfg(target_arch = "x86_64")]
    type Avx2: Kernel<Number = Self>;
    /// With AVX-512.
    #[cfg(target_arch = "x86_64")]
    type Avx512: Kernel<Number = Self>;
    /// With AVX-512 and its bfloat16 products.
    #[cfg(target_arch = "x86_64")]
    type Avx512Bf16: Kernel<Number = Self>;
}

#[cfg(target_arch = "x86_64")]
impl Format for Single {
    type Avx2 = Avx2<Single>;
    type Avx512 = Avx512<Single>;
    type Avx512Bf16 = Avx512<Single>;
}

#[cfg(target_arch = "x86_64")]
impl Format for Brain {
    type Avx2 = Avx2<Brain>;
    type Avx512 = Avx512<Brain>;
    type Avx512Bf16 = Avx512Bf16;
}

#[cfg(target_arch = "x86_64")]
impl Format for Half {
    type Avx2 = Avx2<Half>;
    type Avx512 = Avx512<Half>;
    type Avx512Bf16 = Avx512<Half>;
}

#[cfg(not(target_arch = "x86_64"))]
impl Format for Single {}
#[cfg(not(target_arch = "x86_64"))]
impl Format for Brain {}
#[cfg(not(target_arch = "x86_64"))]
impl Format for Half {}
