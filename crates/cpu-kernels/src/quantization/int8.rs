//! 8-bit integers with a scale for each row: how LLM.int8() (Dettmers et al. 2022) keeps weights.

use crate::element::{Float, for_float};
use crate::float::{f16_to_f32, f32_to_f16};
use crate::multiversion::per_instruction_set;
use crate::walk::{part, span};
use crate::{Cpu, DType, TensorMut, TensorRef};
use std::mem::MaybeUninit;

/// 1 / 127 in the precision that bitsandbytes multiplies by.
const INVERSE_127: f32 = 7.874_015_718_698_502e-3_f64 as f32;
/// Elements that a thread computes at a time.
const GRAIN: usize = 64 << 10;

/// Codes of the rows of a contiguous float `input` (N, K): `codes` (`Int8`, (N, K)) and `absmax`
/// (`Float32`, (N)), the greatest magnitude of each row. NaN makes its row's scale NaN.
///
/// As bitsandbytes does: elements are rounded to half precision first, multiplied by 1 / absmax ·
/// 127 in `f32`, and rounded to the nearest integer, to even between two.
pub fn quantize(cpu: &Cpu, input: &TensorRef, codes: &TensorMut, absmax: &TensorMut) {
    let &[rows, columns] = input.shape() else {
        panic!("int8: input has shape {:?}", input.shape());
    };
    assert!(input.layout.is_contiguous());
    assert_eq!((codes.dtype, codes.shape()), (DType::Int8, input.shape()));
    assert_eq!((absmax.dtype, absmax.shape()), (DType::Float32, &[rows][..]));
    let group = (GRAIN / columns.max(1)).max(1);
    for_float!(input.dtype, T => {
        cpu.pool.for_each(rows.div_ceil(group), |task| {
            for row in task * group..((task + 1) * group).min(rows) {
                // SAFETY: each row is one task's; the input is contiguous.
                let (codes, absmax) = unsafe {
                    (part::<i8>(codes, row * columns, columns), part::<f32>(absmax, row, 1))
                };
                if columns == 0 {
                    absmax[0].write(0.0);
                    continue;
                }
                // SAFETY: as above.
                let values = unsafe { span::<T>(input, row * columns, columns, 1) };
                absmax[0].write(quantize_row::<T>(cpu.instruction_set, values, codes));
            }
        });
    });
}

#[inline(always)]
fn halved<T: Float>(value: T) -> f32 {
    f16_to_f32(f32_to_f16(value.widen()))
}

per_instruction_set! {
    fn quantize_row<T: Float>(values: &[T], codes: &mut [MaybeUninit<i8>]) -> f32 {
        let (mut greatest, mut has_nan) = (0.0f32, false);
        for &value in values {
            let magnitude = halved(value).abs();
            greatest = greatest.max(magnitude);
            has_nan |= magnitude.is_nan();
        }
        let factor = 1.0 / greatest * 127.0;
        for (code, &value) in codes.iter_mut().zip(values) {
            // A row of zeros is 0 · ∞ here, which becomes 0.
            code.write((halved(value) * factor).round_ties_even() as i8);
        }
        if has_nan { f32::NAN } else { greatest }
    }
}

/// code · absmax · (1 / 127), each product in `f32`, rounded once to the output's float type.
/// `codes` (`Int8`, (N, K)) and `absmax` (`Float32`, (N)) are contiguous.
pub fn dequantize(cpu: &Cpu, codes: &TensorRef, absmax: &TensorRef, output: &TensorMut) {
    let &[rows, columns] = output.shape() else {
        panic!("int8: output has shape {:?}", output.shape());
    };
    assert_eq!((codes.dtype, codes.shape()), (DType::Int8, output.shape()));
    let (codes, absmax) = (codes.as_slice::<i8>(), absmax.as_slice::<f32>());
    assert_eq!(absmax.len(), rows);
    let group = (GRAIN / columns.max(1)).max(1);
    for_float!(output.dtype, T => {
        cpu.pool.for_each(rows.div_ceil(group), |task| {
            for row in task * group..((task + 1) * group).min(rows) {
                // SAFETY: each row is one task's.
                let results = unsafe { part::<T>(output, row * columns, columns) };
                let codes = &codes[row * columns..][..columns];
                dequantize_row::<T>(cpu.instruction_set, codes, absmax[row], results);
            }
        });
    });
}

per_instruction_set! {
    fn dequantize_row<T: Float>(codes: &[i8], absmax: f32, results: &mut [MaybeUninit<T>]) {
        for (result, &code) in results.iter_mut().zip(codes) {
            result.write(T::from_f32(f32::from(code) * absmax * INVERSE_127));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{InstructionSet, ThreadPool};

    fn quantized(cpu: &Cpu, values: &[f32], shape: [usize; 2]) -> (Vec<i8>, Vec<f32>) {
        let (mut codes, mut absmax) = (vec![0i8; values.len()], vec![0.0; shape[0]]);
        quantize(
            cpu,
            &TensorRef::from_slice(values, &shape),
            &TensorMut::from_slice(&mut codes, &shape),
            &TensorMut::from_slice(&mut absmax, &shape[..1]),
        );
        (codes, absmax)
    }

    #[test]
    fn rounds_to_even_and_restores_within_half_a_step() {
        for instruction_set in InstructionSet::available() {
            let pool = ThreadPool::new(2);
            let cpu = Cpu { pool: &pool, instruction_set };
            let values = [127.0, 2.5, 3.5, -2.5, 0.0, 0.0, 0.0, 0.0, -8.0, 4.0, f32::NAN, 1.0];
            let (codes, absmax) = quantized(&cpu, &values, [3, 4]);
            assert_eq!(codes[..8], [127, 2, 4, -2, 0, 0, 0, 0]);
            assert_eq!(absmax[..2], [127.0, 0.0]);
            assert!(absmax[2].is_nan());

            let values: Vec<f32> = (0..3000).map(|i| (i as f32 * 0.77).sin() * 3.0).collect();
            let (codes, absmax) = quantized(&cpu, &values, [3, 1000]);
            let mut back = vec![0.0f32; 3000];
            dequantize(
                &cpu,
                &TensorRef::from_slice(&codes, &[3, 1000]),
                &TensorRef::from_slice(&absmax, &[3]),
                &TensorMut::from_slice(&mut back, &[3, 1000]),
            );
            // Half a step of 3 / 127, and half precision's own rounding of numbers up to 4.
            let allowed = 3.0 / 127.0 / 2.0 + 2f32.powi(-10);
            assert!(back.iter().zip(&values).all(|(b, v)| (b - v).abs() <= allowed));
        }
    }
}
