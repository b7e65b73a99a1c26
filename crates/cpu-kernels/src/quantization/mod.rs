//! Weights in 4 and 8 bits, bit for bit as bitsandbytes stores and restores them.

pub mod blockwise;
pub mod int8;
pub mod nf4;
