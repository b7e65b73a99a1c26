//! The encoder: frames of RGB in, samples of an MP4 video track out.

use std::ops::RangeInclusive;

use openh264::encoder::{
    BitRate, Complexity, Encoder, EncoderConfig, FrameRate, FrameType, IntraFramePeriod, Profile,
    QpRange, RateControlMode, VuiConfig,
};
use openh264::formats::YUVSlices;
use openh264::{OpenH264API, Timestamp};

use crate::bitstream::{
    PICTURE_PARAMETER_SET, SEQUENCE_PARAMETER_SET, decoder_configuration, nal_unit_type,
    push_with_length, without_start_code,
};
use crate::color::{Yuv420, rgb_to_yuv420};
use crate::error::EncodeError;

/// Shortest side, in pixels: one macroblock.
pub const MIN_SIDE: usize = 16;
/// Longest side that OpenH264 takes, in pixels (its README: 3840 × 2160 either way round).
pub const MAX_LONG_SIDE: usize = 3840;
/// Longest shorter side that OpenH264 takes, in pixels.
pub const MAX_SHORT_SIDE: usize = 2160;
/// Quantizers that the encoder takes: OpenH264 raises anything below 12 to 12, and 51 is the worst of
/// H.264.
pub const QUANTIZER_RANGE: RangeInclusive<u8> = 12..=51;
/// Quantizer of [`EncoderOptions::new`]: visually lossless, about 45 dB on smooth pictures.
pub const DEFAULT_QUANTIZER: u8 = 18;

/// Seconds between key frames: how far a player may have to decode to show a frame that was sought.
const SECONDS_BETWEEN_KEY_FRAMES: f64 = 2.0;
/// Bits a pixel that the level in the stream allows for. The quantizer is fixed, so that this bounds
/// no frame; it only makes the level one that a decoder of that size can be expected to have.
const NOMINAL_BITS_PER_PIXEL: f64 = 1.0;
/// Bit rate of level 5.2, the highest that OpenH264 knows.
const MAX_NOMINAL_BIT_RATE: f64 = 240_000_000.0;
/// Frame rates that OpenH264 takes; it uses them for the level alone, as the quantizer is fixed.
const CODEC_FRAME_RATES: RangeInclusive<f64> = 1.0..=60.0;
/// One thread, so that the stream doesn't depend on the machine.
const THREADS: u16 = 1;

/// What a stream is to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EncoderOptions {
    /// Width in pixels; even.
    pub width: usize,
    /// Height in pixels; even.
    pub height: usize,
    /// Frames per second; above 0.
    pub frames_per_second: f64,
    /// H.264 quantizer of every macroblock, in [`QUANTIZER_RANGE`]; lower is better and larger.
    pub quantizer: u8,
}

impl EncoderOptions {
    /// Options of a stream of high quality.
    pub const fn new(width: usize, height: usize, frames_per_second: f64) -> Self {
        Self { width, height, frames_per_second, quantizer: DEFAULT_QUANTIZER }
    }

    fn check(&self) -> Result<(), EncodeError> {
        let Self { width, height, frames_per_second, quantizer } = *self;
        if !width.is_multiple_of(2) || !height.is_multiple_of(2) {
            return Err(EncodeError::OddSize { width, height });
        }
        let (shorter, longer) = (width.min(height), width.max(height));
        if shorter < MIN_SIDE || longer > MAX_LONG_SIDE || shorter > MAX_SHORT_SIDE {
            return Err(EncodeError::SizeOutOfRange { width, height });
        }
        if !frames_per_second.is_finite() || frames_per_second <= 0.0 {
            return Err(EncodeError::FrameRate { frames_per_second });
        }
        if !QUANTIZER_RANGE.contains(&quantizer) {
            return Err(EncodeError::Quantizer { quantizer });
        }
        Ok(())
    }

    fn codec_config(&self) -> EncoderConfig {
        let rate =
            self.frames_per_second.clamp(*CODEC_FRAME_RATES.start(), *CODEC_FRAME_RATES.end());
        let pixels_per_second = (self.width * self.height) as f64 * rate;
        let bit_rate = (pixels_per_second * NOMINAL_BITS_PER_PIXEL).min(MAX_NOMINAL_BIT_RATE);
        let intra_period = (self.frames_per_second * SECONDS_BETWEEN_KEY_FRAMES).round().max(1.0);
        EncoderConfig::new()
            // Constrained Baseline: every browser and every decoder chip plays it.
            .profile(Profile::Baseline)
            .rate_control_mode(RateControlMode::Quality)
            .qp(QpRange::new(self.quantizer, self.quantizer))
            .bitrate(BitRate::from_bps(bit_rate as u32))
            .max_frame_rate(FrameRate::from_hz(rate as f32))
            .skip_frames(false)
            .intra_frame_period(IntraFramePeriod::from_num_frames(intra_period as u32))
            .complexity(Complexity::High)
            // Both trade quality where nothing seems to move for bits that are not short here.
            .background_detection(false)
            .adaptive_quantization(false)
            .num_threads(THREADS)
            .vui(VuiConfig::bt709())
    }
}

/// One frame as an MP4 file stores it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedFrame {
    /// NAL units without parameter sets, each after its length in four bytes, big-endian.
    pub data: Vec<u8>,
    /// Whether decoding can start here (an IDR picture).
    pub keyframe: bool,
}

/// The two parameter sets of a stream, without start codes.
#[derive(Debug, Default, PartialEq, Eq)]
struct ParameterSets {
    sequence: Vec<u8>,
    picture: Vec<u8>,
}

/// An H.264 stream being made.
pub struct H264Encoder {
    options: EncoderOptions,
    codec: Encoder,
    parameter_sets: ParameterSets,
    decoder_configuration: Vec<u8>,
    picture: Yuv420,
    frame: u64,
}

impl H264Encoder {
    /// Starts a stream.
    ///
    /// # Errors
    /// [`EncodeError::OddSize`], [`EncodeError::SizeOutOfRange`], [`EncodeError::FrameRate`] and
    /// [`EncodeError::Quantizer`] for options out of range; [`EncodeError::Codec`] where OpenH264 has
    /// no memory or refuses the options.
    pub fn new(options: EncoderOptions) -> Result<Self, EncodeError> {
        options.check()?;
        let picture = Yuv420::black(options.width, options.height);

        // OpenH264 tells its parameter sets only with a frame, and a muxer wants them before the
        // first. They depend on the options alone: take them from a stream of one black frame.
        let mut parameter_sets = ParameterSets::default();
        let mut probe = codec(&options)?;
        encode_picture(&mut probe, &picture, &options, 0, &mut parameter_sets)?;
        let decoder_configuration =
            decoder_configuration(&parameter_sets.sequence, &parameter_sets.picture)
                .ok_or(EncodeError::Stream { frame: 0, reason: "no usable parameter sets" })?;

        let codec = codec(&options)?;
        Ok(Self { options, codec, parameter_sets, decoder_configuration, picture, frame: 0 })
    }

    /// Encodes the next frame: `height * width * 3` bytes of RGB by rows, 8 bits a channel.
    ///
    /// # Errors
    /// [`EncodeError::FrameLength`] for a wrong number of bytes (the stream is as before),
    /// [`EncodeError::Codec`] and [`EncodeError::Stream`] where OpenH264 fails.
    pub fn encode(&mut self, rgb: &[u8]) -> Result<EncodedFrame, EncodeError> {
        let expected = self.options.width * self.options.height * 3;
        if rgb.len() != expected {
            let found = rgb.len();
            return Err(EncodeError::FrameLength { frame: self.frame, expected, found });
        }
        rgb_to_yuv420(rgb, &mut self.picture);
        let mut found = ParameterSets::default();
        let encoded =
            encode_picture(&mut self.codec, &self.picture, &self.options, self.frame, &mut found)?;
        // A file has one record for all frames, so that a frame made for another would not decode.
        if encoded.keyframe && found != self.parameter_sets {
            let reason = "parameter sets changed within the stream";
            return Err(EncodeError::Stream { frame: self.frame, reason });
        }
        self.frame += 1;
        Ok(encoded)
    }

    /// The `avcC` record (ISO/IEC 14496-15): what an MP4 file, or a WebCodecs decoder's `description`,
    /// must hold for the frames to decode. The same before and after frames.
    pub fn decoder_configuration(&self) -> &[u8] {
        &self.decoder_configuration
    }

    /// Frames encoded so far.
    pub const fn frame_count(&self) -> u64 {
        self.frame
    }
}

fn codec(options: &EncoderOptions) -> Result<Encoder, EncodeError> {
    let codec_error =
        |error: openh264::Error| EncodeError::Codec { frame: 0, reason: error.to_string() };
    let mut codec = Encoder::with_api_config(OpenH264API::from_source(), options.codec_config())
        .map_err(codec_error)?;
    let mut level = openh264_sys2::WELS_LOG_QUIET;
    // SAFETY: the encoder exists, this option may be set before the encoder is initialised, and
    // OpenH264 reads one C int from the pointer before it returns.
    let status = unsafe {
        codec
            .raw_api()
            .set_option(openh264_sys2::ENCODER_OPTION_TRACE_LEVEL, (&raw mut level).cast())
    };
    if status != 0 {
        let reason = format!("its log could not be silenced (status {status})");
        return Err(EncodeError::Codec { frame: 0, reason });
    }
    Ok(codec)
}

/// Encodes a picture; parameter sets go to `parameter_sets`, all other NAL units to the sample.
fn encode_picture(
    codec: &mut Encoder,
    picture: &Yuv420,
    options: &EncoderOptions,
    frame: u64,
    parameter_sets: &mut ParameterSets,
) -> Result<EncodedFrame, EncodeError> {
    let (width, height) = (picture.width, picture.height);
    let planes = YUVSlices::new(
        (&picture.y, &picture.u, &picture.v),
        (width, height),
        (width, width / 2, width / 2),
    );
    let milliseconds = (frame as f64 * 1000.0 / options.frames_per_second).round() as u64;
    let stream = codec
        .encode_at(&planes, Timestamp::from_millis(milliseconds))
        .map_err(|error| EncodeError::Codec { frame, reason: error.to_string() })?;

    let keyframe = match stream.frame_type() {
        FrameType::IDR => true,
        FrameType::I | FrameType::P => false,
        FrameType::Skip => {
            return Err(EncodeError::Stream { frame, reason: "the frame was skipped" });
        }
        FrameType::Invalid | FrameType::IPMixed => {
            return Err(EncodeError::Stream { frame, reason: "the frame has no valid type" });
        }
    };
    let mut data = Vec::new();
    for layer in (0..stream.num_layers()).filter_map(|index| stream.layer(index)) {
        for nal_unit in (0..layer.nal_count()).filter_map(|index| layer.nal_unit(index)) {
            let nal_unit = without_start_code(nal_unit)
                .ok_or(EncodeError::Stream { frame, reason: "a NAL unit has no start code" })?;
            match nal_unit_type(nal_unit) {
                Some(SEQUENCE_PARAMETER_SET) => parameter_sets.sequence = nal_unit.to_vec(),
                Some(PICTURE_PARAMETER_SET) => parameter_sets.picture = nal_unit.to_vec(),
                _ => push_with_length(&mut data, nal_unit),
            }
        }
    }
    if data.is_empty() {
        return Err(EncodeError::Stream { frame, reason: "the frame has no picture" });
    }
    Ok(EncodedFrame { data, keyframe })
}

#[cfg(test)]
mod tests;
