//! The operations: each checks its arguments, states its output, and names its kernel.
//!
//! Arguments are checked at once, against shapes and element types; what depends on values fails
//! when the operation runs. Views of any strides are taken everywhere: where a kernel reads whole
//! rows and a view hasn't got them, a contiguous copy is submitted first.

mod activation;
mod all_finite;
mod binary;
mod check;
mod clamp;
mod concatenate;
mod copy;
mod embedding;
mod fill;
mod pad;
mod weighted_sum;

pub use activation::{Activation, activation};
pub use all_finite::all_finite;
pub use binary::{BinaryOperation, binary, binary_scalar};
pub use clamp::clamp;
pub use concatenate::concatenate;
pub use copy::copy;
pub use embedding::embedding;
pub use fill::fill;
pub use pad::pad;
pub use weighted_sum::weighted_sum;
