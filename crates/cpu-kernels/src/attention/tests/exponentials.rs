//! The vector exponentials against float64.

use crate::attention::arithmetic::{Arithmetic, Lanes, lanes};
use crate::attention::portable::Portable;

/// The greatest relative error of [`Arithmetic::power`] where its result is a normal number, against
/// `base` to the power; also checks the ends of the range.
///
/// # Safety
/// The instruction set of `A`.
unsafe fn greatest_error<A: Arithmetic>(base: f64) -> f64 {
    let power = |x: f32| {
        let mut lanes_of_result = [0.0f32; 16];
        // SAFETY: the caller's promise; 16 elements hold a vector.
        unsafe {
            A::Simd::store(lanes_of_result.as_mut_ptr(), A::power(A::Simd::splat(x)));
        }
        assert!(
            lanes_of_result[..lanes::<A>()]
                .iter()
                .all(|lane| *lane == lanes_of_result[0] || lane.is_nan())
        );
        lanes_of_result[0]
    };
    assert_eq!(power(0.0), 1.0);
    assert_eq!(power(f32::NEG_INFINITY), 0.0);
    assert_eq!(power(f32::MIN), 0.0);
    assert_eq!(power(-1000.0), 0.0);
    assert!(power(f32::NAN).is_nan());
    assert!(power(-f32::NAN).is_nan());
    let least = f64::from(f32::MIN_POSITIVE).ln() / base.ln() + 0.1;
    (0..200_000)
        .map(|step| {
            let x = (least * f64::from(step) / 200_000.0) as f32;
            let wanted = base.powf(f64::from(x));
            (f64::from(power(x)) / wanted - 1.0).abs()
        })
        .fold(0.0, f64::max)
}

#[test]
fn exponentials_are_accurate() {
    // SAFETY: each runs where its instruction set is available.
    unsafe {
        let e = std::f64::consts::E;
        assert!(greatest_error::<Portable>(e) < 2e-7);
        #[cfg(target_arch = "x86_64")]
        {
            use crate::InstructionSet;
            use crate::attention::{avx2::Avx2, avx512::Avx512, avx512_bf16::Avx512Bf16};
            let set = InstructionSet::detect();
            if set >= InstructionSet::Avx2 {
                assert!(greatest_error::<Avx2>(e) < 2e-7);
            }
            if set >= InstructionSet::Avx512 {
                assert!(greatest_error::<Avx512>(e) < 2e-7);
            }
            if set >= InstructionSet::Avx512Bf16 {
                assert!(greatest_error::<Avx512Bf16>(2.0) < 3e-6);
            }
        }
    }
}
