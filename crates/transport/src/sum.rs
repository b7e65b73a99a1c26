//! Sums over members, in their order.

use cpu_kernels::DType;
use cpu_kernels::float::{bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16};

/// Elements whose running sums are kept at a time.
const BLOCK: usize = 256;

/// Fills `target` with the sums of the `terms`, added in their order: 16-bit floats in float32 and
/// rounded once, integers modulo their size.
///
/// # Safety
/// Target and terms are valid for `count` elements of `dtype` and aligned to it; the target doesn't
/// overlap the terms.
pub(crate) unsafe fn sum(dtype: DType, terms: &[*const u8], target: *mut u8, count: usize) {
    // SAFETY: the caller's promise, with the element types of `dtype`.
    unsafe {
        match dtype {
            DType::Float32 => {
                add(terms, target, count, |value: f32| value, |sum| sum, |a, b| a + b)
            }
            DType::BFloat16 => add(terms, target, count, bf16_to_f32, f32_to_bf16, |a, b| a + b),
            DType::Float16 => add(terms, target, count, f16_to_f32, f32_to_f16, |a, b| a + b),
            DType::Int32 => add(terms, target, count, |value: i32| value, |s| s, i32::wrapping_add),
            DType::Int64 => add(terms, target, count, |value: i64| value, |s| s, i64::wrapping_add),
            // The bytes: two's complement makes signed and unsigned sums alike.
            _ => add(terms, target, count, |value: u8| value, |s| s, u8::wrapping_add),
        }
    }
}

/// # Safety
/// As [`sum`], `T` being the element type.
#[inline(always)]
unsafe fn add<T: Copy, S: Copy + Default>(
    terms: &[*const u8],
    target: *mut u8,
    count: usize,
    widen: impl Fn(T) -> S,
    round: impl Fn(S) -> T,
    add: impl Fn(S, S) -> S,
) {
    let target: *mut T = target.cast();
    let mut sums = [S::default(); BLOCK];
    let mut start = 0;
    while start < count {
        let length = BLOCK.min(count - start);
        for (index, term) in terms.iter().enumerate() {
            // SAFETY: the caller's promise: the block lies within the term.
            let values = unsafe { std::slice::from_raw_parts(term.cast::<T>().add(start), length) };
            for (sum, value) in sums.iter_mut().zip(values) {
                // The first term replaces what is left of the block before; adding it to 0 would
                // turn −0 into 0.
                *sum = if index == 0 { widen(*value) } else { add(*sum, widen(*value)) };
            }
        }
        for (offset, value) in sums[..length].iter().enumerate() {
            // SAFETY: as above, within the target.
            unsafe { target.add(start + offset).write(round(*value)) };
        }
        start += length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summed<T: Copy + Default>(dtype: DType, terms: &[Vec<T>]) -> Vec<T> {
        let mut target = vec![T::default(); terms[0].len()];
        let pointers: Vec<*const u8> = terms.iter().map(|term| term.as_ptr().cast()).collect();
        // SAFETY: all vectors have as many elements, of the type that the callers pair `T` with.
        unsafe { sum(dtype, &pointers, target.as_mut_ptr().cast(), target.len()) };
        target
    }

    #[test]
    fn adds_in_the_order_of_terms() {
        // In any other order the large ones would swallow the 1.
        let terms = [vec![1e8f32; 600], vec![-1e8; 600], vec![1.0; 600]];
        assert_eq!(summed(DType::Float32, &terms), vec![1.0; 600]);
        let swallowed = [vec![1.0f32], vec![1e8], vec![-1e8]];
        assert_eq!(summed(DType::Float32, &swallowed), [0.0]);
    }

    #[test]
    fn rounds_sixteen_bit_floats_once() {
        // 256 + 1 + 1: bfloat16 has 8 bits, so rounding after each addition would stay at 256.
        let bits = |value: f32| vec![f32_to_bf16(value)];
        let total = summed(DType::BFloat16, &[bits(256.0), bits(1.0), bits(1.0)]);
        assert_eq!(bf16_to_f32(total[0]), 258.0);
        let half = |value: f32| vec![f32_to_f16(value)];
        let total = summed(DType::Float16, &[half(2048.0), half(1.0), half(1.0)]);
        assert_eq!(f16_to_f32(total[0]), 2050.0);
    }

    #[test]
    fn wraps_integers_and_keeps_negative_zero() {
        assert_eq!(summed(DType::Int32, &[vec![i32::MAX], vec![1]]), [i32::MIN]);
        assert_eq!(summed(DType::Int64, &[vec![-5i64], vec![7]]), [2]);
        assert_eq!(summed(DType::UInt8, &[vec![250u8], vec![10]]), [4]);
        assert!(summed(DType::Float32, &[vec![-0.0f32]])[0].is_sign_negative());
    }
}
