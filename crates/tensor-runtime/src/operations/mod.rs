//! The operations: each checks its arguments, states its output, and names its kernel.
//!
//! Arguments are checked at once, against shapes and element types; what depends on values fails
//! when the operation runs. Views of any strides are taken everywhere: where a kernel reads whole
//! rows and a view hasn't got them, a contiguous copy is submitted first.

mod activation;
mod all_finite;
mod attention;
mod attention_piece;
mod binary;
mod blockwise;
mod channel_norm;
mod check;
mod clamp;
mod concatenate;
mod conv3d;
mod copy;
mod cudnn_attention;
mod embedding;
mod fill;
mod gated_residual;
mod gpu_types;
mod int8;
mod layer_norm;
mod linear;
mod mean;
mod merge_attention;
mod nf4;
mod pad;
mod rms_norm;
mod rotary;
#[cfg(test)]
mod tests;
mod to_device;
mod upsample_nearest;
mod weighted_sum;

pub use activation::{Activation, activation};
pub use all_finite::all_finite;
pub use attention::{LogSumExp, attention};
pub use attention_piece::{
    KeyPiece, PieceEnd, PieceOutput, attention_piece, keys_of_attention_block,
};
pub use binary::{BinaryOperation, binary, binary_scalar};
pub use blockwise::{dequantize_blockwise, quantize_blockwise};
pub use channel_norm::{ChannelNormOptions, channel_norm};
pub use clamp::clamp;
pub use concatenate::concatenate;
pub use conv3d::conv3d;
pub use copy::copy;
pub use cudnn_attention::cudnn_attention;
pub use embedding::embedding;
pub use fill::{fill, fill_on};
pub use gated_residual::gated_residual;
pub use int8::{dequantize_int8, quantize_int8};
pub use layer_norm::{LayerNormOptions, layer_norm};
pub use linear::linear;
pub use mean::mean;
pub use merge_attention::{PartialAttention, merge_attention};
pub use nf4::{dequantize_nf4, quantize_nf4};
pub use pad::pad;
pub use rms_norm::{RmsNormOptions, rms_norm};
pub use rotary::{rms_norm_rotary, rotary};
pub use to_device::{to_device, to_device_ahead};
pub use upsample_nearest::upsample_nearest;
pub use weighted_sum::weighted_sum;
