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
