//! The encoder against OpenH264's own decoder.

use openh264::decoder::{DecodedYUV, Decoder};
use openh264::formats::YUVSource;

use super::*;

/// Frame `index` of a moving, coloured gradient with a hard-edged disc, RGB.
fn gradient_frame(width: usize, height: usize, index: usize) -> Vec<u8> {
    let mut rgb = Vec::with_capacity(width * height * 3);
    let center = (width as f64 * (0.3 + 0.02 * index as f64), height as f64 * 0.5);
    for y in 0..height {
        for x in 0..width {
            let (across, down) = (x as f64 / width as f64, y as f64 / height as f64);
            let wave = 0.5 + 0.5 * (6.0 * across + 0.2 * index as f64).sin();
            let distance = (x as f64 - center.0).hypot(y as f64 - center.1);
            let color = if distance < width.min(height) as f64 * 0.2 {
                [0.85, 0.15, 0.1]
            } else {
                [wave, down, 1.0 - 0.7 * across * down]
            };
            rgb.extend(color.map(|value: f64| (value * 255.0) as u8));
        }
    }
    rgb
}

/// Annex B form of a sample, with the parameter sets of the record before it.
fn annex_b(record: &[u8], sample: &[u8]) -> Vec<u8> {
    let start = [0, 0, 0, 1];
    let mut stream = vec![];
    let sequence_length = usize::from(u16::from_be_bytes([record[6], record[7]]));
    let picture_at = 8 + sequence_length + 3;
    stream.extend(start);
    stream.extend(&record[8..8 + sequence_length]);
    stream.extend(start);
    stream.extend(&record[picture_at..]);
    let mut rest = sample;
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let (nal_unit, next) = after.split_at(u32::from_be_bytes(*length) as usize);
        stream.extend(start);
        stream.extend(nal_unit);
        rest = next;
    }
    stream
}

/// Sum of squared differences over Y, Cb and Cr, and the number of samples.
fn squared_error(decoded: &DecodedYUV<'_>, picture: &Yuv420) -> (f64, usize) {
    let planes = [
        (decoded.y(), decoded.strides().0, &picture.y, picture.width),
        (decoded.u(), decoded.strides().1, &picture.u, picture.width / 2),
        (decoded.v(), decoded.strides().2, &picture.v, picture.width / 2),
    ];
    let mut sum = 0.0;
    let mut count = 0;
    for (found, stride, expected, width) in planes {
        for (row, expected) in expected.chunks_exact(width).enumerate() {
            for (&a, &b) in found[row * stride..][..width].iter().zip(expected) {
                sum += f64::from(i32::from(a) - i32::from(b)).powi(2);
                count += 1;
            }
        }
    }
    (sum, count)
}

fn encode_all(options: EncoderOptions, frames: &[Vec<u8>]) -> (Vec<u8>, Vec<EncodedFrame>) {
    let mut encoder = H264Encoder::new(options).unwrap();
    let encoded = frames.iter().map(|rgb| encoder.encode(rgb).unwrap()).collect();
    assert_eq!(encoder.frame_count(), frames.len() as u64);
    (encoder.decoder_configuration().to_vec(), encoded)
}

/// Encodes, decodes and gives the PSNR over all samples of all frames, in dB.
fn round_trip(options: EncoderOptions, frames: &[Vec<u8>]) -> f64 {
    let (record, encoded) = encode_all(options, frames);
    let mut decoder = Decoder::new().unwrap();
    let mut picture = Yuv420::black(options.width, options.height);
    let (mut sum, mut count) = (0.0, 0);
    for (rgb, frame) in frames.iter().zip(&encoded) {
        let stream = annex_b(&record, &frame.data);
        let decoded = decoder.decode(&stream).unwrap().expect("a picture for every sample");
        assert_eq!(decoded.dimensions(), (options.width, options.height));
        rgb_to_yuv420(rgb, &mut picture);
        let (frame_sum, frame_count) = squared_error(&decoded, &picture);
        sum += frame_sum;
        count += frame_count;
    }
    10.0 * (255.0f64.powi(2) * count as f64 / sum).log10()
}

fn frames_of(width: usize, height: usize, count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|index| gradient_frame(width, height, index)).collect()
}

#[test]
fn small_video_decodes_close_to_what_went_in() {
    let psnr = round_trip(EncoderOptions::new(96, 96, 9.0), &frames_of(96, 96, 17));
    assert!(psnr >= 40.0, "{psnr} dB");
}

#[test]
fn large_video_decodes_close_to_what_went_in() {
    let psnr = round_trip(EncoderOptions::new(832, 480, 16.0), &frames_of(832, 480, 3));
    assert!(psnr >= 40.0, "{psnr} dB");
}

#[test]
fn noise_keeps_every_frame_at_the_quantizer() {
    let mut state = 1u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let frames: Vec<Vec<u8>> =
        (0..12).map(|_| (0..64 * 48 * 3).map(|_| noise()).collect()).collect();
    // A quantizer step of 8 has an error of 8 / √12 if uniform: 41 dB.
    let psnr = round_trip(EncoderOptions::new(64, 48, 24.0), &frames);
    assert!(psnr >= 38.0, "{psnr} dB");
}

#[test]
fn sizes_that_are_no_multiple_of_a_macroblock_are_cropped_not_padded() {
    for (width, height) in [(16, 16), (18, 34), (50, 30), (98, 110)] {
        let psnr =
            round_trip(EncoderOptions::new(width, height, 16.0), &frames_of(width, height, 3));
        assert!(psnr >= 35.0, "{width} × {height}: {psnr} dB");
    }
}

#[test]
fn a_higher_quantizer_makes_fewer_bytes() {
    let frames = frames_of(96, 96, 4);
    let bytes = |quantizer| {
        let options = EncoderOptions { quantizer, ..EncoderOptions::new(96, 96, 9.0) };
        encode_all(options, &frames).1.iter().map(|frame| frame.data.len()).sum::<usize>()
    };
    let sizes = [12, DEFAULT_QUANTIZER, 30, 51].map(bytes);
    assert!(sizes.is_sorted_by(|a, b| a > b), "{sizes:?}");
}

#[test]
fn same_frames_give_the_same_bytes() {
    let options = EncoderOptions::new(160, 112, 16.0);
    let frames = frames_of(160, 112, 9);
    assert_eq!(encode_all(options, &frames), encode_all(options, &frames));
}

#[test]
fn key_frames_come_first_and_every_two_seconds() {
    let (_, encoded) = encode_all(EncoderOptions::new(32, 32, 3.0), &frames_of(32, 32, 14));
    let keys: Vec<usize> = (0..encoded.len()).filter(|&index| encoded[index].keyframe).collect();
    assert_eq!(keys, [0, 6, 12]);
}

#[test]
fn samples_hold_no_parameter_sets_and_no_start_codes() {
    let (_, encoded) = encode_all(EncoderOptions::new(32, 32, 2.0), &frames_of(32, 32, 6));
    for frame in &encoded {
        let mut rest = &frame.data[..];
        let mut types = vec![];
        while let Some((length, after)) = rest.split_first_chunk::<4>() {
            let (nal_unit, next) = after.split_at(u32::from_be_bytes(*length) as usize);
            types.push(nal_unit_type(nal_unit).unwrap());
            rest = next;
        }
        assert_eq!(types, [if frame.keyframe { 5 } else { 1 }]);
    }
}

#[test]
fn record_names_constrained_baseline_and_bt709_limited_range() {
    let encoder = H264Encoder::new(EncoderOptions::new(832, 480, 16.0)).unwrap();
    let record = encoder.decoder_configuration();
    assert_eq!(record[1], 66, "profile_idc");
    assert_eq!(record[2] & 0b0100_0000, 0b0100_0000, "constraint_set1_flag");
    assert_eq!(record[3], 30, "level 3.0 holds 832 × 480 at 16 frames a second");
    // In the sequence parameter set's VUI: video_signal_type_present_flag 1, video_format, full range
    // 0, colour_description_present_flag 1, then primaries, transfer and matrix 1, 1, 1.
    let bits: String = record[8..].iter().map(|byte| format!("{byte:08b}")).collect();
    let bt709 = format!("01{}", "00000001".repeat(3));
    assert!(bits.contains(&bt709), "{bits}");
    assert!(!bits.contains(&format!("11{}", "00000001".repeat(3))), "{bits}");
}

#[test]
fn bad_options_are_refused_by_name() {
    let refused = |options| H264Encoder::new(options).err().map(|error| error.code());
    let good = EncoderOptions::new(64, 64, 16.0);
    assert_eq!(refused(EncoderOptions { width: 63, ..good }), Some("oddSize"));
    assert_eq!(refused(EncoderOptions { height: 65, ..good }), Some("oddSize"));
    assert_eq!(refused(EncoderOptions { width: 0, ..good }), Some("sizeOutOfRange"));
    assert_eq!(refused(EncoderOptions { height: 14, ..good }), Some("sizeOutOfRange"));
    assert_eq!(refused(EncoderOptions { width: 3842, ..good }), Some("sizeOutOfRange"));
    assert_eq!(
        refused(EncoderOptions { width: 2162, height: 2162, ..good }),
        Some("sizeOutOfRange")
    );
    for frames_per_second in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(refused(EncoderOptions { frames_per_second, ..good }), Some("frameRate"));
    }
    for quantizer in [0, 11, 52] {
        assert_eq!(refused(EncoderOptions { quantizer, ..good }), Some("quantizer"));
    }
    assert_eq!(refused(good), None);
}

#[test]
fn the_largest_size_and_extreme_frame_rates_are_taken() {
    assert!(H264Encoder::new(EncoderOptions::new(3840, 2160, 60.0)).is_ok());
    assert!(H264Encoder::new(EncoderOptions::new(2160, 3840, 24.0)).is_ok());
    for frames_per_second in [0.1, 23.976, 240.0] {
        let frames = frames_of(32, 32, 3);
        let psnr = round_trip(EncoderOptions::new(32, 32, frames_per_second), &frames);
        assert!(psnr >= 35.0, "{frames_per_second}: {psnr} dB");
    }
}

#[test]
fn a_frame_of_another_size_is_refused_and_the_stream_goes_on() {
    let mut encoder = H264Encoder::new(EncoderOptions::new(32, 32, 8.0)).unwrap();
    encoder.encode(&gradient_frame(32, 32, 0)).unwrap();
    let error = encoder.encode(&[0; 7]).unwrap_err();
    assert_eq!(error, EncodeError::FrameLength { frame: 1, expected: 3072, found: 7 });
    assert_eq!(error.to_string(), "frame 1 has 7 bytes, expected 3072 (height × width × 3, RGB)");
    assert!(!encoder.encode(&gradient_frame(32, 32, 1)).unwrap().keyframe);
    assert_eq!(encoder.frame_count(), 2);
}
