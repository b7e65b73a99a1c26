//! H.264 video from RGB frames.
//!
//! [`H264Encoder`] turns frames of 8-bit RGB into H.264 access units in the form that an MP4 file
//! stores: NAL units with a length before each, parameter sets apart in an `avcC` record. Colours are
//! BT.709 in limited range and are signalled as such. Every frame given is a frame in the stream, and
//! the same frames give the same bytes: one thread, one slice, and a fixed quantizer.

mod bitstream;
mod color;
mod encoder;
mod error;

pub use color::{Yuv420, rgb_to_yuv420};
pub use encoder::{
    DEFAULT_QUANTIZER, EncodedFrame, EncoderOptions, H264Encoder, MAX_LONG_SIDE, MAX_SHORT_SIDE,
    MIN_SIDE, QUANTIZER_RANGE,
};
pub use error::EncodeError;
