//! H.264 encoding.

use crate::error;
use napi::bindgen_prelude::*;
use napi_derive::napi;
use serde_json::json;
use video_encoder::{EncodeError, EncoderOptions, H264Encoder};

fn from_encoder(failure: EncodeError) -> Error {
    let facts = json!({ "code": failure.code(), "message": failure.to_string() });
    Error::new(Status::InvalidArg, facts.to_string())
}

/// What a stream is to be.
#[napi(object, object_to_js = false)]
pub struct NativeVideoOptions {
    /// Pixels, even.
    pub width: u32,
    /// Pixels, even.
    pub height: u32,
    /// Above 0.
    pub frames_per_second: f64,
}

/// One frame as an MP4 file stores it.
#[napi(object, object_from_js = false)]
pub struct NativeEncodedFrame {
    /// NAL units, each after its length in four bytes.
    pub data: Uint8Array,
    /// Whether decoding can start here.
    pub keyframe: bool,
}

/// An H.264 stream being made.
#[napi]
pub struct NativeVideoEncoder {
    encoder: Option<H264Encoder>,
}

#[napi]
impl NativeVideoEncoder {
    /// Starts a stream.
    #[napi(constructor, catch_unwind)]
    pub fn new(options: NativeVideoOptions) -> Result<Self> {
        let NativeVideoOptions { width, height, frames_per_second } = options;
        let options = EncoderOptions::new(width as usize, height as usize, frames_per_second);
        let encoder = H264Encoder::new(options).map_err(from_encoder)?;
        Ok(NativeVideoEncoder { encoder: Some(encoder) })
    }

    /// Encodes the next frame: height × width × 3 bytes by rows.
    #[napi(catch_unwind)]
    pub fn encode(&mut self, rgb: &[u8]) -> Result<NativeEncodedFrame> {
        let frame = self.get()?.encode(rgb).map_err(from_encoder)?;
        Ok(NativeEncodedFrame { data: frame.data.into(), keyframe: frame.keyframe })
    }

    /// The stream's `avcC` record.
    #[napi(catch_unwind)]
    pub fn decoder_configuration(&mut self) -> Result<Uint8Array> {
        Ok(self.get()?.decoder_configuration().to_vec().into())
    }

    /// Frees the encoder.
    #[napi(catch_unwind)]
    pub fn dispose(&mut self) {
        self.encoder = None;
    }

    fn get(&mut self) -> Result<&mut H264Encoder> {
        self.encoder.as_mut().ok_or_else(|| {
            error::argument("videoEncoder", "encoder", "one that is not disposed", "disposed")
        })
    }
}
