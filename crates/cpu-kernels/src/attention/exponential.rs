//! Constants of the exponentials.
//!
//! e^x = 2^n · e^r with n = round(x / ln 2) and |r| ≤ ln 2 / 2, and e^r = 1 + r + r² · P(r). The
//! coefficients are minimax fits of the relative error.

/// ln 2 to 9 bits, so that its product with an exponent is exact.
pub(super) const HIGH_LN_2: f32 = 0.693_359_4;

/// ln 2 less [`HIGH_LN_2`].
pub(super) const LOW_LN_2: f32 = -2.121_944_4e-4;

/// P, highest power first: a relative error of 3e-9 in e^r.
pub(super) const POLYNOMIAL: [f32; 5] =
    [0.001_381_446_7, 0.008_368_781, 0.041_668_393, 0.166_665_2, 0.499_999_94];

/// Below this e^x isn't a normal number, and counts as 0 where that is simpler.
pub(super) const SUBNORMAL: f32 = -87.33;
