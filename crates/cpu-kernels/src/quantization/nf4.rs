//! 4-bit normal floats (Dettmers et al. 2023, QLoRA): blocks of consecutive elements, each divided
//! by its largest magnitude and rounded to one of 16 quantiles of a normal distribution.

use crate::element::{Float, for_float};
use crate::multiversion::per_instruction_set;
use crate::walk::{part, span};
use crate::{Cpu, DType, TensorMut, TensorRef};
use std::mem::MaybeUninit;

/// The value of each code, ascending.
pub const CODES: [f32; 16] = [
    -1.0,
    -0.696_192_8,
    -0.525_073_05,
    -0.394_917_5,
    -0.284_441_38,
    -0.184_773_43,
    -0.091_050_036,
    0.0,
    0.079_580_3,
    0.160_930_2,
    0.246_112_3,
    0.337_915_24,
    0.440_709_83,
    0.562_617,
    0.722_956_84,
    1.0,
];

/// The code of 0, which an odd count is filled up with.
const ZERO: u8 = 7;
/// Blocks with a smaller greatest magnitude are divided by this: 1 over it is still finite.
const LEAST_DIVISOR: f32 = 1e-38;
/// Elements coded side by side; a divisor of every block size above it.
const SIDE_BY_SIDE: usize = 64;
/// Elements that a thread computes at a time.
const GRAIN: usize = 64 << 10;

/// Packed bytes of `count` elements: two codes each, the last one filled up.
pub fn packed_bytes(count: usize) -> usize {
    count.div_ceil(2)
}

/// Codes of a contiguous float `input` of N elements in blocks of `block_size` (even):
/// `packed` (`UInt8`, ⌈N / 2⌉) has element 2i in the high half of byte i, `absmax` (`Float32`,
/// ⌈N / block size⌉) the greatest magnitude of each block. NaN makes its block's scale NaN.
///
/// As bitsandbytes does on a CPU: an element is multiplied by 1 / absmax, in the last block where
/// that isn't full divided by it; a number halfway between two codes gets the lower.
pub fn quantize(
    cpu: &Cpu,
    input: &TensorRef,
    block_size: usize,
    packed: &TensorMut,
    absmax: &TensorMut,
) {
    let count = input.layout.count();
    assert!(input.layout.is_contiguous() && block_size.is_multiple_of(2) && block_size > 0);
    assert_eq!((packed.dtype, packed.layout.count()), (DType::UInt8, packed_bytes(count)));
    let blocks = count.div_ceil(block_size);
    assert_eq!((absmax.dtype, absmax.layout.count()), (DType::Float32, blocks));
    if count == 0 {
        return;
    }
    let group = (GRAIN / block_size).max(1);
    for_float!(input.dtype, T => {
        // SAFETY: the input is contiguous and has `count` elements of this type.
        let values = unsafe { span::<T>(input, 0, count, 1) };
        cpu.pool.for_each(blocks.div_ceil(group), |task| {
            let (first, last) = (task * group, ((task + 1) * group).min(blocks));
            let (start, end) = (first * block_size, (last * block_size).min(count));
            // SAFETY: tasks have blocks of their own, and blocks bytes of their own, as their size
            // is even.
            let (packed, absmax) = unsafe {
                let bytes = packed_bytes(end - start);
                (part::<u8>(packed, start / 2, bytes), part::<f32>(absmax, first, last - first))
            };
            quantize_blocks::<T>(
                cpu.instruction_set,
                &values[start..end],
                block_size,
                packed,
                absmax,
            );
        });
    });
}

per_instruction_set! {
    fn quantize_blocks<T: Float>(
        values: &[T],
        block_size: usize,
        packed: &mut [MaybeUninit<u8>],
        absmax: &mut [MaybeUninit<f32>],
    ) {
        let bounds: [f32; 15] = std::array::from_fn(|code| (CODES[code] + CODES[code + 1]) / 2.0);
        let blocks = values.chunks(block_size).zip(packed.chunks_mut(block_size / 2)).zip(absmax);
        for ((block, packed), absmax) in blocks {
            let greatest = greatest_magnitude(block);
            let full = block.len() == block_size;
            absmax.write(if full { greatest } else { at_least(greatest) });
            let divisor = at_least(greatest);
            let factor = 1.0 / divisor;
            let parts = block.chunks(SIDE_BY_SIDE).zip(packed.chunks_mut(SIDE_BY_SIDE / 2));
            for (values, packed) in parts {
                let mut codes = [ZERO; SIDE_BY_SIDE];
                for (code, value) in codes.iter_mut().zip(values) {
                    let value = value.widen();
                    let scaled = if full { value * factor } else { value / divisor };
                    let scaled = scaled.clamp(-1.0, 1.0);
                    *code = bounds.iter().map(|&bound| u8::from(bound < scaled)).sum();
                }
                for (byte, pair) in packed.iter_mut().zip(codes.chunks_exact(2)) {
                    byte.write(pair[0] << 4 | pair[1]);
                }
            }
        }
    }
}

/// The greatest magnitude; NaN where one of `values` is.
#[inline(always)]
pub(super) fn greatest_magnitude<T: Float>(values: &[T]) -> f32 {
    // `max` passes over NaN, so that it is looked for apart.
    let (mut greatest, mut has_nan) = (0.0f32, false);
    for value in values {
        let magnitude = value.widen().abs();
        greatest = greatest.max(magnitude);
        has_nan |= magnitude.is_nan();
    }
    if has_nan { f32::NAN } else { greatest }
}

/// `greatest`, or the least divisor; NaN stays.
#[inline(always)]
fn at_least(greatest: f32) -> f32 {
    if greatest < LEAST_DIVISOR { LEAST_DIVISOR } else { greatest }
}

/// Elements from codes: [`CODES`] · absmax in `f32`, rounded once to the output's float type. The
/// output has N elements; `packed` and `absmax` are contiguous and as [`quantize`] makes them.
pub fn dequantize(
    cpu: &Cpu,
    packed: &TensorRef,
    absmax: &TensorRef,
    block_size: usize,
    output: &TensorMut,
) {
    let count = output.layout.count();
    let (packed, absmax) = (packed.as_slice::<u8>(), absmax.as_slice::<f32>());
    assert!(block_size.is_multiple_of(2) && block_size > 0);
    assert_eq!((packed.len(), absmax.len()), (packed_bytes(count), count.div_ceil(block_size)));
    let group = (GRAIN / block_size).max(1);
    for_float!(output.dtype, T => {
        cpu.pool.for_each(absmax.len().div_ceil(group), |task| {
            let (first, last) = (task * group, ((task + 1) * group).min(absmax.len()));
            let (start, end) = (first * block_size, (last * block_size).min(count));
            // SAFETY: tasks have blocks of their own.
            let results = unsafe { part::<T>(output, start, end - start) };
            let packed = &packed[start / 2..packed_bytes(end)];
            dequantize_blocks::<T>(
                cpu.instruction_set,
                packed,
                &absmax[first..last],
                block_size,
                results,
            );
        });
    });
}

per_instruction_set! {
    fn dequantize_blocks<T: Float>(
        packed: &[u8],
        absmax: &[f32],
        block_size: usize,
        results: &mut [MaybeUninit<T>],
    ) {
        let blocks = results.chunks_mut(block_size).zip(packed.chunks(block_size / 2)).zip(absmax);
        for ((results, packed), &absmax) in blocks {
            let values = CODES.map(|code| T::from_f32(code * absmax));
            let mut pairs = results.chunks_exact_mut(2);
            for (pair, &byte) in pairs.by_ref().zip(packed) {
                pair[0].write(values[usize::from(byte >> 4)]);
                pair[1].write(values[usize::from(byte & 15)]);
            }
            if let ([last], Some(&byte)) = (pairs.into_remainder(), packed.last()) {
                last.write(values[usize::from(byte >> 4)]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{InstructionSet, ThreadPool};

    fn on_each(body: impl Fn(&Cpu)) {
        for instruction_set in InstructionSet::available() {
            for threads in [1, 3] {
                let pool = ThreadPool::new(threads);
                body(&Cpu { pool: &pool, instruction_set });
            }
        }
    }

    fn quantized(cpu: &Cpu, values: &[f32], block_size: usize) -> (Vec<u8>, Vec<f32>) {
        let mut packed = vec![0; packed_bytes(values.len())];
        let mut absmax = vec![0.0; values.len().div_ceil(block_size)];
        let (bytes, blocks) = (packed.len(), absmax.len());
        quantize(
            cpu,
            &TensorRef::from_slice(values, &[values.len()]),
            block_size,
            &TensorMut::from_slice(&mut packed, &[bytes]),
            &TensorMut::from_slice(&mut absmax, &[blocks]),
        );
        (packed, absmax)
    }

    fn dequantized(
        cpu: &Cpu,
        packed: &[u8],
        absmax: &[f32],
        size: usize,
        count: usize,
    ) -> Vec<f32> {
        let mut output = vec![0.0; count];
        dequantize(
            cpu,
            &TensorRef::from_slice(packed, &[packed.len()]),
            &TensorRef::from_slice(absmax, &[absmax.len()]),
            size,
            &TensorMut::from_slice(&mut output, &[count]),
        );
        output
    }

    #[test]
    fn codes_times_a_power_of_two_survive_a_round_trip() {
        let values: Vec<f32> = (0..200_003).map(|i| CODES[i * 7 % 16] * 0.25).collect();
        on_each(|cpu| {
            for block_size in [32, 64, 4096] {
                let (packed, absmax) = quantized(cpu, &values, block_size);
                assert_eq!(packed[0], 0x07);
                assert_eq!(packed.last(), Some(&((200_002 * 7 % 16) as u8 * 16 + ZERO)));
                assert!(absmax.iter().all(|&absmax| absmax == 0.25));
                assert_eq!(dequantized(cpu, &packed, &absmax, block_size, 200_003), values);
            }
        });
    }

    #[test]
    fn halfway_goes_down_and_zeros_stay_zeros() {
        let middle = (CODES[8] + CODES[9]) / 2.0;
        let mut values = vec![0.0; 128];
        (values[0], values[1], values[2], values[3]) = (1.0, middle, middle.next_up(), -middle);
        on_each(|cpu| {
            let (packed, absmax) = quantized(cpu, &values, 64);
            assert_eq!((packed[0], packed[1] >> 4), (0xf8, 9));
            assert_eq!((absmax[1], packed[40]), (0.0, 0x77));
            assert_eq!(dequantized(cpu, &packed, &absmax, 64, 128)[64..], [0.0; 64]);
        });
    }

    #[test]
    fn not_a_number_is_not_lost() {
        let mut values = vec![0.5; 130];
        (values[3], values[129]) = (f32::NAN, f32::NAN);
        on_each(|cpu| {
            let (packed, absmax) = quantized(cpu, &values, 64);
            assert!(absmax[0].is_nan() && absmax[2].is_nan());
            assert_eq!(absmax[1], 0.5);
            let back = dequantized(cpu, &packed, &absmax, 64, 130);
            assert!(back[3].is_nan() && back[129].is_nan() && back[64] == 0.5);
        });
    }

    #[test]
    fn nothing_is_nothing() {
        on_each(|cpu| {
            assert_eq!(quantized(cpu, &[], 64), (vec![], vec![]));
            assert!(dequantized(cpu, &[], &[], 64, 0).is_empty());
        });
    }
}
