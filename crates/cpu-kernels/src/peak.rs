//! What the machine's arithmetic units can do at most, to set kernels' figures against.

use crate::{Cpu, InstructionSet};
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// An instruction whose throughput is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PeakKind {
    /// Single-precision fused multiply-add (a product and a sum on the portable instruction set).
    F32Fma,
    /// Dot products of bfloat16 pairs (`vdpbf16ps`).
    Bf16Dot,
}

/// Rounds of a measurement; the best one counts, as other work on the machine can only slow it.
const ROUNDS: u32 = 8;
/// Iterations between two looks at the clock: some microseconds.
const BATCH: u64 = 2_000;

/// GFLOP/s that all of the pool's threads together reach on registers alone, over `seconds` of
/// measuring, counting a product and a sum as two; `None` where the instruction set has no such
/// instruction.
pub fn peak_gflops(cpu: &Cpu, kind: PeakKind, seconds: f64) -> Option<f64> {
    let (flops, batch) = batch(cpu.instruction_set, kind)?;
    let round = Duration::from_secs_f64(seconds.max(0.0) / f64::from(ROUNDS));
    let best = (0..ROUNDS).map(|_| round_gflops(cpu, round, flops, batch)).fold(0.0, f64::max);
    Some(best)
}

/// Runs `iterations` of independent operations.
type Batch = fn(u64) -> f32;

/// Floating-point operations of an iteration, and the loop that does them.
fn batch(instruction_set: InstructionSet, kind: PeakKind) -> Option<(f64, Batch)> {
    assert!(
        instruction_set <= InstructionSet::detect(),
        "this machine has no {}",
        instruction_set.name()
    );
    match (kind, instruction_set) {
        #[cfg(target_arch = "x86_64")]
        (PeakKind::Bf16Dot, InstructionSet::Avx512Bf16) => {
            // SAFETY: the machine has the instruction set, as just checked.
            Some((x86::DOT_FLOPS, |iterations| unsafe { x86::dot(iterations) }))
        }
        (PeakKind::Bf16Dot, _) => None,
        #[cfg(target_arch = "x86_64")]
        (PeakKind::F32Fma, InstructionSet::Avx512 | InstructionSet::Avx512Bf16) => {
            // SAFETY: as above.
            Some((x86::AVX512_FLOPS, |iterations| unsafe { x86::fma_avx512(iterations) }))
        }
        #[cfg(target_arch = "x86_64")]
        (PeakKind::F32Fma, InstructionSet::Avx2) => {
            // SAFETY: as above.
            Some((x86::AVX2_FLOPS, |iterations| unsafe { x86::fma_avx2(iterations) }))
        }
        (PeakKind::F32Fma, _) => Some((PORTABLE_FLOPS, portable)),
    }
}

/// The sum of the threads' rates over one round. A thread that wakes late is measured from then.
fn round_gflops(cpu: &Cpu, round: Duration, flops: f64, batch: Batch) -> f64 {
    let rates: Vec<AtomicU64> = (0..cpu.pool.threads()).map(|_| AtomicU64::new(0)).collect();
    let end = Instant::now() + round;
    cpu.pool.for_each(rates.len(), |task| {
        let start = Instant::now();
        // A second task on the same thread begins after the end, and must not count.
        if task > 0 && start >= end {
            return;
        }
        let mut iterations = 0;
        loop {
            black_box(batch(black_box(BATCH)));
            iterations += BATCH;
            if Instant::now() >= end {
                break;
            }
        }
        let rate = iterations as f64 * flops / start.elapsed().as_secs_f64() / 1e9;
        rates[task].store(rate.to_bits(), Ordering::Relaxed);
    });
    rates.into_iter().map(|rate| f64::from_bits(rate.into_inner())).sum()
}

/// Lanes of a register of the baseline (SSE2, NEON).
const LANES: usize = 4;
/// Independent registers of sums: enough to hide the latency, few enough for sixteen registers.
const PORTABLE_SUMS: usize = 12;
const PORTABLE_FLOPS: f64 = (PORTABLE_SUMS * LANES * 2) as f64;

#[cfg(target_arch = "x86_64")]
fn portable(iterations: u64) -> f32 {
    // SAFETY: SSE2 belongs to the architecture's baseline.
    unsafe { x86::multiply_add_sse2(iterations) }
}

#[cfg(target_arch = "aarch64")]
fn portable(iterations: u64) -> f32 {
    use core::arch::aarch64::*;
    // SAFETY: NEON belongs to the architecture's baseline.
    unsafe {
        let (factor, addend) = black_box((vdupq_n_f32(0.5), vdupq_n_f32(1.0)));
        let mut sums = [vdupq_n_f32(0.0); PORTABLE_SUMS];
        for _ in 0..iterations {
            for sum in &mut sums {
                *sum = vfmaq_f32(addend, *sum, factor);
            }
        }
        sums.into_iter().map(|sum| vaddvq_f32(sum)).sum()
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn portable(iterations: u64) -> f32 {
    let (factor, addend) = black_box((0.5f32, 1.0f32));
    let mut sums = [0f32; PORTABLE_SUMS * LANES];
    for _ in 0..iterations {
        for sum in &mut sums {
            *sum = *sum * factor + addend;
        }
    }
    sums.iter().sum()
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use core::arch::x86_64::*;
    use std::hint::black_box;

    /// Independent sums: two units times a latency of six at most need twelve.
    const WIDE_SUMS: usize = 20;
    const NARROW_SUMS: usize = 12;
    pub(super) const AVX512_FLOPS: f64 = (WIDE_SUMS * 16 * 2) as f64;
    pub(super) const AVX2_FLOPS: f64 = (NARROW_SUMS * 8 * 2) as f64;
    pub(super) const DOT_FLOPS: f64 = (WIDE_SUMS * 16 * 4) as f64;

    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq")]
    pub(super) fn fma_avx512(iterations: u64) -> f32 {
        let (factor, addend) = black_box((_mm512_set1_ps(0.5), _mm512_set1_ps(1.0)));
        let mut sums = [_mm512_setzero_ps(); WIDE_SUMS];
        for _ in 0..iterations {
            for sum in &mut sums {
                *sum = _mm512_fmadd_ps(*sum, factor, addend);
            }
        }
        sums.into_iter().map(|sum| _mm512_reduce_add_ps(sum)).sum()
    }

    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512bf16")]
    pub(super) fn dot(iterations: u64) -> f32 {
        let bits = black_box(_mm512_set1_epi16(0x3a80));
        // SAFETY: a register of 16-bit lanes and one of bfloat16 are the same bits.
        let pairs: __m512bh = unsafe { std::mem::transmute(bits) };
        let mut sums = [_mm512_setzero_ps(); WIDE_SUMS];
        for _ in 0..iterations {
            for sum in &mut sums {
                *sum = _mm512_dpbf16_ps(*sum, pairs, pairs);
            }
        }
        sums.into_iter().map(|sum| _mm512_reduce_add_ps(sum)).sum()
    }

    #[target_feature(enable = "sse2")]
    pub(super) fn multiply_add_sse2(iterations: u64) -> f32 {
        let (factor, addend) = black_box((_mm_set1_ps(0.5), _mm_set1_ps(1.0)));
        let mut sums = [_mm_setzero_ps(); super::PORTABLE_SUMS];
        for _ in 0..iterations {
            for sum in &mut sums {
                *sum = _mm_add_ps(_mm_mul_ps(*sum, factor), addend);
            }
        }
        let mut lanes = [[0f32; super::LANES]; super::PORTABLE_SUMS];
        for (lanes, sum) in lanes.iter_mut().zip(sums) {
            // SAFETY: there is room for four lanes.
            unsafe { _mm_storeu_ps(lanes.as_mut_ptr(), sum) };
        }
        lanes.as_flattened().iter().sum()
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn fma_avx2(iterations: u64) -> f32 {
        let (factor, addend) = black_box((_mm256_set1_ps(0.5), _mm256_set1_ps(1.0)));
        let mut sums = [_mm256_setzero_ps(); NARROW_SUMS];
        for _ in 0..iterations {
            for sum in &mut sums {
                *sum = _mm256_fmadd_ps(*sum, factor, addend);
            }
        }
        let mut lanes = [[0f32; 8]; NARROW_SUMS];
        for (lanes, sum) in lanes.iter_mut().zip(sums) {
            // SAFETY: there is room for eight lanes.
            unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), sum) };
        }
        lanes.as_flattened().iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ThreadPool;

    #[test]
    fn every_instruction_set_has_a_single_precision_peak() {
        let pool = ThreadPool::new(2);
        for instruction_set in InstructionSet::available() {
            let cpu = Cpu { pool: &pool, instruction_set };
            let peak = peak_gflops(&cpu, PeakKind::F32Fma, 0.004);
            assert!(peak.is_some_and(|peak| peak.is_finite() && peak > 0.0), "{peak:?}");
        }
    }

    #[test]
    fn only_one_instruction_set_has_bfloat16_dot_products() {
        let pool = ThreadPool::new(1);
        for instruction_set in InstructionSet::available() {
            let cpu = Cpu { pool: &pool, instruction_set };
            let peak = peak_gflops(&cpu, PeakKind::Bf16Dot, 0.0);
            assert_eq!(peak.is_some(), instruction_set == InstructionSet::Avx512Bf16);
        }
    }

    #[test]
    fn the_loops_do_what_they_are_counted_for() {
        // x ← x/2 + 1 tends to 2 in each lane.
        for (instruction_set, lanes) in
            [(InstructionSet::Portable, 48.0), (InstructionSet::Avx2, 96.0)]
                .into_iter()
                .chain([(InstructionSet::Avx512, 320.0)])
        {
            if instruction_set <= InstructionSet::detect() {
                let (flops, run) = batch(instruction_set, PeakKind::F32Fma).expect("has one");
                assert_eq!(flops, 2.0 * f64::from(lanes));
                assert_eq!(run(200), 2.0 * lanes);
            }
        }
    }
}
