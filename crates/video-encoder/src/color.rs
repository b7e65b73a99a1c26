//! RGB to 4:2:0 Y′CbCr, BT.709 in limited range.
//!
//! Coefficients and ranges are those of ITU-R BT.709-6, items 3.2 to 3.5, at 8 bits: Y′ from 16 to
//! 235, Cb and Cr from 16 to 240. Chroma lies where H.264 puts it unless told otherwise (clause
//! E.2.1, `chroma_sample_loc_type_frame` 0): on the left of the two luma columns and halfway
//! between the two rows. So it is low-passed by 1-2-1 across and averaged down.

/// Fraction bits of the integer coefficients.
const FRACTION_BITS: u32 = 16;
const LUMA_RED: f64 = 0.2126;
const LUMA_BLUE: f64 = 0.0722;
const LUMA_GREEN: f64 = 1.0 - LUMA_RED - LUMA_BLUE;
/// Quantization levels of luma and of chroma for the 255 levels of full-range RGB.
const LUMA_SCALE: f64 = 219.0 / 255.0;
const CHROMA_SCALE: f64 = 224.0 / 255.0;

/// Weight of the chroma low-pass: (1 + 2 + 1) columns × 2 rows.
const CHROMA_TAPS_BITS: u32 = 3;

const fn fixed(value: f64) -> i32 {
    let scaled = value * (1u32 << FRACTION_BITS) as f64;
    (if scaled < 0.0 { scaled - 0.5 } else { scaled + 0.5 }) as i32
}

const Y_RED: i32 = fixed(LUMA_RED * LUMA_SCALE);
const Y_BLUE: i32 = fixed(LUMA_BLUE * LUMA_SCALE);
// The three sum to the scale exactly, so that a grey maps to its level without drift.
const Y_GREEN: i32 = fixed(LUMA_SCALE) - Y_RED - Y_BLUE;

// Cb = (B − Y′) / (2 (1 − Kb)) and Cr = (R − Y′) / (2 (1 − Kr)); each row sums to zero, so that a
// grey has no colour at all.
const CB_BLUE: i32 = fixed(0.5 * CHROMA_SCALE);
const CB_RED: i32 = fixed(-LUMA_RED / (2.0 * (1.0 - LUMA_BLUE)) * CHROMA_SCALE);
const CB_GREEN: i32 = -CB_BLUE - CB_RED;
const CR_RED: i32 = fixed(0.5 * CHROMA_SCALE);
const CR_GREEN: i32 = fixed(-LUMA_GREEN / (2.0 * (1.0 - LUMA_RED)) * CHROMA_SCALE);
const CR_BLUE: i32 = -CR_RED - CR_GREEN;

/// Planes of one 4:2:0 picture without padding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Yuv420 {
    /// Width in luma samples; even.
    pub width: usize,
    /// Height in luma samples; even.
    pub height: usize,
    /// Luma, `height * width` bytes.
    pub y: Vec<u8>,
    /// Blue difference, `height / 2 * (width / 2)` bytes.
    pub u: Vec<u8>,
    /// Red difference, `height / 2 * (width / 2)` bytes.
    pub v: Vec<u8>,
}

impl Yuv420 {
    /// A picture of black.
    ///
    /// # Panics
    /// If `width` or `height` is odd.
    pub fn black(width: usize, height: usize) -> Self {
        assert!(width.is_multiple_of(2) && height.is_multiple_of(2), "{width} × {height} is odd");
        let chroma = width / 2 * (height / 2);
        Self {
            width,
            height,
            y: vec![16; width * height],
            u: vec![128; chroma],
            v: vec![128; chroma],
        }
    }
}

/// Converts one frame of 8-bit RGB, `height * width * 3` bytes by rows, into `picture`.
///
/// # Panics
/// If `rgb` has not the length that the size of `picture` asks for.
pub fn rgb_to_yuv420(rgb: &[u8], picture: &mut Yuv420) {
    let (width, height) = (picture.width, picture.height);
    assert_eq!(rgb.len(), width * height * 3, "RGB bytes of a {width} × {height} frame");

    for (luma, pixel) in picture.y.iter_mut().zip(rgb.chunks_exact(3)) {
        let [red, green, blue] = [pixel[0], pixel[1], pixel[2]].map(i32::from);
        let sum = Y_RED * red + Y_GREEN * green + Y_BLUE * blue;
        *luma = level(sum, 16, FRACTION_BITS);
    }

    let row_bytes = width * 3;
    for row in 0..height / 2 {
        let upper = &rgb[2 * row * row_bytes..][..row_bytes];
        let lower = &rgb[(2 * row + 1) * row_bytes..][..row_bytes];
        for column in 0..width / 2 {
            let middle = column * 6;
            // Beyond the left edge the first pixel is repeated; the right neighbour always exists.
            let left = if column == 0 { 0 } else { middle - 3 };
            let right = middle + 3;
            let [red, green, blue] = [0, 1, 2].map(|channel| {
                let down =
                    |at: usize| i32::from(upper[at + channel]) + i32::from(lower[at + channel]);
                down(left) + 2 * down(middle) + down(right)
            });
            let at = row * (width / 2) + column;
            let bits = FRACTION_BITS + CHROMA_TAPS_BITS;
            picture.u[at] = level(CB_RED * red + CB_GREEN * green + CB_BLUE * blue, 128, bits);
            picture.v[at] = level(CR_RED * red + CR_GREEN * green + CR_BLUE * blue, 128, bits);
        }
    }
}

/// Rounds a fixed-point sum and adds the level that stands for zero. The sums of valid RGB stay
/// within 16 to 240, so the cast loses nothing.
fn level(sum: i32, zero: i32, fraction_bits: u32) -> u8 {
    (zero + ((sum + (1 << (fraction_bits - 1))) >> fraction_bits)) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn solid(color: [u8; 3]) -> (u8, u8, u8) {
        let mut picture = Yuv420::black(16, 16);
        rgb_to_yuv420(&color.repeat(256), &mut picture);
        assert!(picture.y.iter().all(|&y| y == picture.y[0]));
        assert!(picture.u.iter().all(|&u| u == picture.u[0]));
        assert!(picture.v.iter().all(|&v| v == picture.v[0]));
        (picture.y[0], picture.u[0], picture.v[0])
    }

    #[test]
    fn primaries_have_the_levels_of_bt709() {
        assert_eq!(solid([0, 0, 0]), (16, 128, 128));
        assert_eq!(solid([255, 255, 255]), (235, 128, 128));
        assert_eq!(solid([255, 0, 0]), (63, 102, 240));
        assert_eq!(solid([0, 255, 0]), (173, 42, 26));
        assert_eq!(solid([0, 0, 255]), (32, 240, 118));
        assert_eq!(solid([255, 255, 0]), (219, 16, 138));
    }

    #[test]
    fn every_grey_is_colourless_and_within_half_a_level() {
        for grey in 0..=255u8 {
            let (y, u, v) = solid([grey; 3]);
            assert_eq!((u, v), (128, 128));
            let exact = 16.0 + 219.0 * f64::from(grey) / 255.0;
            assert!((f64::from(y) - exact).abs() <= 0.501, "{grey}: {y}, exactly {exact}");
        }
    }

    #[test]
    fn agrees_with_the_real_number_formula_on_every_corner_of_the_cube() {
        for code in 0..4096u32 {
            let color = [code & 15, (code >> 4) & 15, code >> 8].map(|level| (level * 17) as u8);
            let [red, green, blue] = color.map(|c| f64::from(c) / 255.0);
            let luma = LUMA_RED * red + LUMA_GREEN * green + LUMA_BLUE * blue;
            let exact = [
                16.0 + 219.0 * luma,
                128.0 + 224.0 * (blue - luma) / (2.0 * (1.0 - LUMA_BLUE)),
                128.0 + 224.0 * (red - luma) / (2.0 * (1.0 - LUMA_RED)),
            ];
            let (y, u, v) = solid(color);
            for (found, exact) in [y, u, v].into_iter().zip(exact) {
                // Half a level of rounding, and 2⁻¹⁶ for each of three coefficients of up to 255.
                assert!(
                    (f64::from(found) - exact).abs() <= 0.5 + 0.012,
                    "{color:?}: {found} {exact}"
                );
            }
        }
    }

    #[test]
    fn chroma_is_centred_on_even_columns_and_between_rows() {
        // One saturated column: chroma sees it with weights 1-2-1 across.
        for (hot, expected) in [(4usize, [0, 0, 2, 0]), (5, [0, 0, 1, 1]), (3, [0, 1, 1, 0])] {
            let mut rgb = vec![0u8; 8 * 2 * 3];
            for row in 0..2 {
                rgb[(row * 8 + hot) * 3] = 255;
            }
            let mut picture = Yuv420::black(8, 2);
            rgb_to_yuv420(&rgb, &mut picture);
            let found: Vec<i32> = picture.v.iter().map(|&v| i32::from(v) - 128).collect();
            let expected: Vec<i32> = expected.iter().map(|weight| 112 * weight / 4).collect();
            assert_eq!(found, expected, "column {hot}");
        }
    }
}
