//! A grid of blocks over the processor's cores.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::memory::Allocations;

use super::fault::Fault;
use super::program::Program;
use super::thread_block::{Shape, ThreadBlock, prepare};
use super::warp::Warp;

/// A launch that one core finishes within this isn't shared out: starting threads takes longer.
const WORTH_SHARING: Duration = Duration::from_micros(200);

/// Runs all blocks of a grid. `parameters` is the block of arguments.
pub fn launch(
    program: &Program,
    memory: &Mutex<Allocations>,
    shape: &Shape,
    parameters: &[u8],
) -> Result<(), Box<Fault>> {
    let [width, height, depth] = shape.grid.map(u64::from);
    let blocks = width * height * depth;
    let next = AtomicU64::new(0);
    let work = |block: &mut ThreadBlock, warps: &mut [Warp], until: Option<Instant>| {
        while until.is_none_or(|until| Instant::now() < until) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= blocks {
                break;
            }
            let place = [index % width, index / width % height, index / width / height];
            let place = place.map(|index| index as u32);
            if let Err(fault) = block.run(program, warps, shape, place) {
                // Nobody begins another block.
                next.store(blocks, Ordering::Relaxed);
                return Err(fault);
            }
        }
        Ok(())
    };
    let (mut block, mut warps) = prepare(program, memory, shape, parameters);
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    if cores == 1 || blocks == 1 {
        return work(&mut block, &mut warps, None);
    }
    work(&mut block, &mut warps, Some(Instant::now() + WORTH_SHARING))?;
    let left = blocks.saturating_sub(next.load(Ordering::Relaxed));
    if left == 0 {
        return Ok(());
    }
    let helpers = (cores as u64 - 1).min(left - 1);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..helpers)
            .map(|_| {
                scope.spawn(|| {
                    let (mut block, mut warps) = prepare(program, memory, shape, parameters);
                    work(&mut block, &mut warps, None)
                })
            })
            .collect();
        let mut outcome = work(&mut block, &mut warps, None);
        for thread in threads {
            match thread.join() {
                Ok(result) => outcome = outcome.and(result),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        outcome
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::execute::decode;
    use crate::execute::step::InstructionSet;
    use crate::ptx::parse;

    /// Runs a fixture on three buffers of `floats` for one instruction set; gives the last one.
    fn run(text: &str, set: InstructionSet, grid: [u32; 3], numbers: &[u64]) -> Vec<u32> {
        let module = parse(text).unwrap();
        let program = decode(&module.kernels[0], &module.variables, &HashMap::new(), set).unwrap();
        let memory = Mutex::new(Allocations::new(1 << 20));
        let count = 4096;
        let buffers = [0, 1, 2].map(|_| memory.lock().unwrap().allocate(4 * count).unwrap());
        let mut parameters = vec![0; program.parameter_bytes()];
        for (place, parameter) in program.parameters.iter().enumerate() {
            let value = buffers.get(place).or(numbers.get(place.wrapping_sub(3))).unwrap_or(&0);
            parameters[parameter.offset..parameter.offset + parameter.bytes]
                .copy_from_slice(&value.to_le_bytes()[..parameter.bytes]);
        }
        for (place, buffer) in buffers.iter().enumerate() {
            for element in 0..count {
                let value = ((element * 37 + place * 11) % 101) as f32 / 50.0 - 1.0;
                // SAFETY: 4096 numbers were allocated there.
                unsafe { (*buffer as *mut f32).add(element).write(value) };
            }
        }
        let threads = program.required_threads.unwrap();
        let shape = Shape { grid, threads, dynamic_shared: 48 << 10 };
        launch(&program, &memory, &shape, &parameters).unwrap();
        // SAFETY: as above.
        (0..count)
            .map(|element| unsafe { (buffers[2] as *const u32).add(element).read() })
            .collect()
    }

    #[test]
    fn every_instruction_set_gives_the_same_bytes() {
        let widest = InstructionSet::detect();
        let silu = include_str!("../../fixtures/silu-product-fp32.ptx");
        let product = include_str!("../../fixtures/product-bf16.ptx");
        let exact = include_str!("../../fixtures/product-fp32.ptx");
        for (text, grid, numbers) in [
            (silu, [8, 1, 1], &[4000][..]),
            (product, [2, 2, 1], &[60, 64, 64][..]),
            (exact, [2, 2, 1], &[60, 64, 64][..]),
        ] {
            let portable = run(text, InstructionSet::Portable, grid, numbers);
            assert!(run(text, widest, grid, numbers) == portable);
            #[cfg(target_arch = "x86_64")]
            if widest == InstructionSet::Avx512 {
                assert!(run(text, InstructionSet::Avx2, grid, numbers) == portable);
            }
        }
    }
}
