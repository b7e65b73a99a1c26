//! 8-bit codes of a sorted table, in blocks with a scale each (Dettmers et al. 2021): what double
//! quantization keeps the scales of 4-bit blocks in.

use crate::walk::part;
use crate::{Cpu, DType, TensorMut, TensorRef};

/// Entries of a table.
pub const TABLE: usize = 256;
/// Numbers from -1 to 1, evenly spaced, that codes are looked up by.
const STEPS: usize = 65_536;
/// Blocks that a thread computes at a time.
const GRAIN: usize = 64;

/// Codes of a contiguous `Float32` input of N elements in blocks of `block_size`: `codes`
/// (`UInt8`, N) and `absmax` (`Float32`, ⌈N / block size⌉). `table` (`Float32`, 256) ascends from
/// about -1 to 1. A block of zeros gets code 0, whose value times its scale 0 is 0 again.
///
/// As bitsandbytes does on an x86 CPU: a quotient is rounded to one of 65,536 steps, and the step
/// to the nearest entry.
pub fn quantize(
    cpu: &Cpu,
    input: &TensorRef,
    table: &TensorRef,
    block_size: usize,
    codes: &TensorMut,
    absmax: &TensorMut,
) {
    let values = input.as_slice::<f32>();
    let blocks = values.len().div_ceil(block_size);
    assert_eq!((codes.dtype, codes.layout.count()), (DType::UInt8, values.len()));
    assert_eq!((absmax.dtype, absmax.layout.count()), (DType::Float32, blocks));
    let nearest = nearest_entries(table.as_slice::<f32>());
    cpu.pool.for_each(blocks.div_ceil(GRAIN), |task| {
        for block in task * GRAIN..((task + 1) * GRAIN).min(blocks) {
            let start = block * block_size;
            let values = &values[start..(start + block_size).min(values.len())];
            // SAFETY: each block is one task's.
            let (codes, absmax) =
                unsafe { (part::<u8>(codes, start, values.len()), part::<f32>(absmax, block, 1)) };
            let greatest = super::nf4::greatest_magnitude(values);
            absmax[0].write(greatest);
            let factor = 1.0 / greatest;
            for (code, &value) in codes.iter_mut().zip(values) {
                code.write(if greatest == 0.0 { 0 } else { nearest[step(value * factor)] });
            }
        }
    });
}

/// The step nearest to a number, which is held within -1 and 1.
fn step(value: f32) -> usize {
    let value = value.clamp(-1.0, 1.0);
    ((value + 1.0) * 0.5 * (STEPS - 1) as f32 + 0.5) as usize
}

/// The code of each step.
fn nearest_entries(table: &[f32]) -> Vec<u8> {
    assert_eq!(table.len(), TABLE);
    let mut code = 0;
    (0..STEPS)
        .map(|step| {
            let value = -1.0 + (2.0 * step as f32) / (STEPS - 1) as f32;
            while code < TABLE - 1 && 0.5 * (table[code] + table[code + 1]) < value {
                code += 1;
            }
            code as u8
        })
        .collect()
}

/// table\[code\] · absmax of the code's block, `Float32`; all contiguous, as [`quantize`] makes
/// them.
pub fn dequantize(
    cpu: &Cpu,
    codes: &TensorRef,
    absmax: &TensorRef,
    table: &TensorRef,
    block_size: usize,
    output: &TensorMut,
) {
    let (codes, absmax) = (codes.as_slice::<u8>(), absmax.as_slice::<f32>());
    let table: &[f32; TABLE] = table.as_slice::<f32>().try_into().expect("a table of 256");
    let blocks = codes.len().div_ceil(block_size);
    assert_eq!((output.dtype, output.layout.count()), (DType::Float32, codes.len()));
    assert_eq!(absmax.len(), blocks);
    cpu.pool.for_each(blocks.div_ceil(GRAIN), |task| {
        let scales = absmax.iter().enumerate().skip(task * GRAIN).take(GRAIN);
        for (block, &scale) in scales {
            let start = block * block_size;
            let codes = &codes[start..(start + block_size).min(codes.len())];
            // SAFETY: each block is one task's.
            let results = unsafe { part::<f32>(output, start, codes.len()) };
            for (result, &code) in results.iter_mut().zip(codes) {
                result.write(table[usize::from(code)] * scale);
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{InstructionSet, ThreadPool};

    #[test]
    fn entries_times_a_scale_survive_a_round_trip() {
        let table: Vec<f32> = (0..256).map(|code| code as f32 / 127.5 - 1.0).collect();
        let values: Vec<f32> = (0..1000).map(|i| table[(i * 37 + 255) % 256] * 4.0).collect();
        let pool = ThreadPool::new(2);
        let cpu = Cpu { pool: &pool, instruction_set: InstructionSet::Portable };
        let (mut codes, mut absmax, mut back) = (vec![0u8; 1000], vec![0.0; 4], vec![0.0; 1000]);
        let entries = TensorRef::from_slice(&table, &[256]);
        quantize(
            &cpu,
            &TensorRef::from_slice(&values, &[1000]),
            &entries,
            256,
            &TensorMut::from_slice(&mut codes, &[1000]),
            &TensorMut::from_slice(&mut absmax, &[4]),
        );
        assert_eq!((codes[0], absmax[0]), (255, 4.0));
        dequantize(
            &cpu,
            &TensorRef::from_slice(&codes, &[1000]),
            &TensorRef::from_slice(&absmax, &[4]),
            &entries,
            256,
            &TensorMut::from_slice(&mut back, &[1000]),
        );
        assert_eq!(back, values);
    }

    #[test]
    fn steps_reach_from_end_to_end() {
        assert_eq!((step(-1.0), step(-3.0), step(1.0), step(7.0)), (0, 0, 65_535, 65_535));
        assert_eq!(step(0.0), 32_768);
    }
}
