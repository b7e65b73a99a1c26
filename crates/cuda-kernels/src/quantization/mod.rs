//! Weights in 4 and 8 bits, bit for bit as bitsandbytes and `cpu-kernels` store and restore them.

pub mod blockwise;
pub mod int8;
pub mod nf4;
