//! What can go wrong while encoding.

use std::fmt;

/// Why a frame or a stream could not be encoded.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum EncodeError {
    /// Width or height is odd; 4:2:0 video has one chroma sample for two pixels each way.
    OddSize {
        /// Width asked for, in pixels.
        width: usize,
        /// Height asked for, in pixels.
        height: usize,
    },
    /// Width or height is outside what the encoder can do.
    SizeOutOfRange {
        /// Width asked for, in pixels.
        width: usize,
        /// Height asked for, in pixels.
        height: usize,
    },
    /// The frame rate is not a positive finite number.
    FrameRate {
        /// Frames per second asked for.
        frames_per_second: f64,
    },
    /// The quantizer is outside [`crate::QUANTIZER_RANGE`].
    Quantizer {
        /// Quantizer asked for.
        quantizer: u8,
    },
    /// A frame's bytes are not height × width × 3.
    FrameLength {
        /// Index of the frame in the stream.
        frame: u64,
        /// Bytes that a frame of this stream has.
        expected: usize,
        /// Bytes that were given.
        found: usize,
    },
    /// OpenH264 reported a failure.
    Codec {
        /// Index of the frame in the stream.
        frame: u64,
        /// OpenH264's own words.
        reason: String,
    },
    /// OpenH264 gave a stream that breaks what this crate promises of it.
    Stream {
        /// Index of the frame in the stream.
        frame: u64,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl EncodeError {
    /// A stable name of the kind of error, for callers that switch on it.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::OddSize { .. } => "oddSize",
            Self::SizeOutOfRange { .. } => "sizeOutOfRange",
            Self::FrameRate { .. } => "frameRate",
            Self::Quantizer { .. } => "quantizer",
            Self::FrameLength { .. } => "frameLength",
            Self::Codec { .. } => "codec",
            Self::Stream { .. } => "stream",
        }
    }
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OddSize { width, height } => write!(
                f,
                "H.264 4:2:0 video needs an even width and height, got {width} × {height}; crop or \
                 pad by one pixel"
            ),
            Self::SizeOutOfRange { width, height } => write!(
                f,
                "video of {width} × {height} is out of range: each side must be at least {} pixels, \
                 the longer at most {} and the shorter at most {}",
                crate::MIN_SIDE,
                crate::MAX_LONG_SIDE,
                crate::MAX_SHORT_SIDE
            ),
            Self::FrameRate { frames_per_second } => {
                write!(f, "frame rate must be a positive finite number, got {frames_per_second}")
            }
            Self::Quantizer { quantizer } => write!(
                f,
                "quantizer must be from {} to {}, got {quantizer}",
                crate::QUANTIZER_RANGE.start(),
                crate::QUANTIZER_RANGE.end()
            ),
            Self::FrameLength { frame, expected, found } => write!(
                f,
                "frame {frame} has {found} bytes, expected {expected} (height × width × 3, RGB)"
            ),
            Self::Codec { frame, reason } => {
                write!(f, "OpenH264 failed at frame {frame}: {reason}")
            }
            Self::Stream { frame, reason } => {
                write!(f, "OpenH264 gave an unexpected stream at frame {frame}: {reason}")
            }
        }
    }
}

impl std::error::Error for EncodeError {}
