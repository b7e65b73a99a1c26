//! `cp.async.bulk.tensor`: copies of boxes of tensors to shared memory, whose end a barrier tells.
//!
//! They are made when nothing else can go on, and what they will write is poisoned meanwhile. What was
//! copied may be read by warps that have waited for the barrier since.

use std::ops::Range;
use std::sync::PoisonError;

use crate::memory::POISON;
use crate::ptx::{Instruction, Operand, PtxError};

use super::access::{PARAMETER_WINDOW, WINDOW, within};
use super::decoder::Decoder;
use super::fault::{Fault, FaultKind, Outcome};
use super::phase_barrier::find;
use super::step::{Step, handlers};
use super::tensor_map::{BYTES, TensorMap};
use super::thread_block::ThreadBlock;
use super::warp::{LANES, Warp};

/// What shared memory such copies may write is a multiple of.
const ALIGNMENT: usize = 128;

/// A copy that was begun.
#[derive(Debug)]
struct TensorCopy {
    map: TensorMap,
    coordinates: Vec<i32>,
    target: Range<usize>,
    barrier: u32,
}

/// What a copy brought.
#[derive(Debug)]
struct Arrived {
    target: Range<usize>,
    /// The barrier that tells, and its phase.
    barrier: u32,
    phase: u64,
}

/// The copies of a block.
#[derive(Debug, Default)]
pub struct TensorCopies {
    pending: Vec<TensorCopy>,
    arrived: Vec<Arrived>,
}

fn overlap(a: &Range<usize>, b: &Range<usize>) -> bool {
    a.start < b.end && b.start < a.end
}

fn launch_failed(lane: usize, message: String) -> Box<Fault> {
    Fault::new(FaultKind::LaunchFailed, lane as u32, message)
}

impl TensorCopies {
    /// Forgets all.
    pub fn clear(&mut self) {
        self.pending.clear();
        self.arrived.clear();
    }

    /// How many are under way.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Whether a warp may read a part of shared memory; otherwise why not.
    pub fn check(&self, warp: &Warp, part: &Range<usize>) -> Result<(), String> {
        if let Some(copy) = self.pending.iter().find(|copy| overlap(&copy.target, part)) {
            let (from, to) = (copy.target.start, copy.target.end);
            return Err(format!(
                "reads shared memory that a copy under way to {from:#x}..{to:#x} writes"
            ));
        }
        let unseen = |one: &&Arrived| {
            overlap(&one.target, part)
                && warp.seen.get(&one.barrier).is_none_or(|phase| *phase <= one.phase)
        };
        match self.arrived.iter().find(unseen) {
            Some(Arrived { barrier, phase, .. }) => Err(format!(
                "reads what a copy brought without having waited for its barrier, {barrier:#x}, \
                 phase {phase}"
            )),
            None => Ok(()),
        }
    }
}

handlers! {
    fn begin = begin_copies;
}

/// The map at a generic address.
fn map_at(block: &ThreadBlock<'_>, address: u64, lane: usize) -> Result<TensorMap, Box<Fault>> {
    if !address.is_multiple_of(64) {
        let message = format!("a tensor map at {address:#x}, no multiple of 64");
        return Err(Fault::new(FaultKind::MisalignedAddress, lane as u32, message));
    }
    let offset = address.wrapping_sub(PARAMETER_WINDOW);
    let mut bytes = [0; BYTES];
    if offset < WINDOW {
        if let Some(argument) = block.parameters.get(offset as usize..offset as usize + BYTES) {
            bytes.copy_from_slice(argument);
        }
    } else {
        let memory = block.memory.lock().unwrap_or_else(PoisonError::into_inner);
        if memory.holds(address, BYTES as u64) {
            // SAFETY: as many bytes are allocated there, and stay while a kernel runs.
            bytes = unsafe { (address as *const [u8; BYTES]).read() };
        }
    }
    let no_map = || {
        let message = format!("no tensor map lies at {address:#x}");
        Fault::new(FaultKind::IllegalAddress, lane as u32, message)
    };
    TensorMap::decode(&bytes).ok_or_else(no_map)
}

/// `a`: shared address; `b`: the map's generic address; `c`: the barrier's address, with the displacement
/// `list[0]`; then coordinates. [`Step::control`]: dimensions.
fn begin_copies(warp: &mut Warp, block: &mut ThreadBlock<'_>, step: &Step, mask: u32) -> Outcome {
    let size = block.shared.len();
    let targets = &warp.words[step.a as usize].0;
    let targets = within("shared", size, targets, step.offset, mask, ALIGNMENT)?;
    let barriers = &warp.words[step.c as usize].0;
    let barriers = within("shared", size, barriers, i64::from(step.list[0] as i32), mask, 8)?;
    for lane in (0..LANES).filter(|lane| mask >> lane & 1 == 1) {
        let map = map_at(block, warp.longs[step.b as usize].0[lane], lane)?;
        if map.sizes.len() != step.control as usize {
            let (dimensions, found) = (step.control, map.sizes.len());
            let message = format!("a copy of {dimensions} dimensions by a map of {found}");
            return Err(launch_failed(lane, message));
        }
        let start = targets[lane] as usize;
        let target = start..start + map.box_bytes();
        if target.end > size {
            let bytes = map.box_bytes();
            let message = format!("a box of {bytes} bytes at {start:#x} of {size:#x} bytes");
            return Err(Fault::new(FaultKind::IllegalAddress, lane as u32, message));
        }
        if !find(&mut block.phases, barriers[lane], lane)?.is_fenced() {
            let message = "a copy tells a barrier that was made without a fence since \
                 (fence.mbarrier_init, fence.proxy.async)";
            return Err(launch_failed(lane, message.to_owned()));
        }
        if let Some(reading) = block.readings.iter().find(|one| overlap(&one.part, &target)) {
            let message = format!(
                "a copy to {:#x}..{:#x} of shared memory, which products of warp {} still read",
                target.start, target.end, reading.warp
            );
            return Err(launch_failed(lane, message));
        }
        if block.tensor_copies.pending.iter().any(|one| overlap(&one.target, &target)) {
            let message = format!("two copies under way to {:#x} of shared memory", target.start);
            return Err(launch_failed(lane, message));
        }
        if let Some(barrier) =
            block.phases.keys().find(|barrier| target.contains(&(**barrier as usize)))
        {
            let message = format!("a copy over the barrier at {barrier:#x}");
            return Err(launch_failed(lane, message));
        }
        check_source(block, &map, step, warp, lane)?;
        block.shared[target.clone()].fill(POISON);
        block.tensor_copies.arrived.retain(|one| !overlap(&one.target, &target));
        let coordinates = coordinates(warp, step, lane);
        let barrier = barriers[lane];
        block.tensor_copies.pending.push(TensorCopy { map, coordinates, target, barrier });
        block.progress += 1;
    }
    Ok(())
}

fn coordinates(warp: &Warp, step: &Step, lane: usize) -> Vec<i32> {
    step.list[1..].iter().map(|slot| warp.words[*slot as usize].0[lane] as i32).collect()
}

/// All that is read must be allocated.
fn check_source(
    block: &ThreadBlock<'_>,
    map: &TensorMap,
    step: &Step,
    warp: &Warp,
    lane: usize,
) -> Outcome {
    let memory = block.memory.lock().unwrap_or_else(PoisonError::into_inner);
    for row in map.rows(&coordinates(warp, step, lane)) {
        if row.inside > 0 && !memory.holds(row.address, row.inside as u64) {
            let near = memory.describe(row.address);
            let message = format!(
                "a copy of {} bytes of global memory at {:#x}, {near}",
                row.inside, row.address
            );
            return Err(Fault::new(FaultKind::IllegalAddress, lane as u32, message));
        }
    }
    Ok(())
}

/// Makes one copy that is under way, the newest or the oldest; false where there is none.
pub fn deliver(block: &mut ThreadBlock<'_>, newest: bool) -> bool {
    let pending = &mut block.tensor_copies.pending;
    if pending.is_empty() {
        return false;
    }
    let copy = pending.remove(if newest { pending.len() - 1 } else { 0 });
    let TensorCopy { map, coordinates, target, barrier } = copy;
    let row_bytes = map.row_bytes();
    for (line, row) in map.rows(&coordinates).into_iter().enumerate() {
        let mut bytes = vec![0; row_bytes];
        // SAFETY: the range was found allocated when the copy began, and nothing goes back to the host
        // while a kernel runs.
        unsafe {
            let inside = bytes[row.before..].as_mut_ptr();
            std::ptr::copy_nonoverlapping(row.address as *const u8, inside, row.inside);
        }
        // Pieces of 16 bytes keep together whatever the swizzle.
        for (piece, bytes) in bytes.chunks(16).enumerate() {
            let place = map.swizzle.place(target.start + line * row_bytes + 16 * piece);
            block.shared[place..place + bytes.len()].copy_from_slice(bytes);
        }
    }
    if let Some(found) = block.phases.get_mut(&barrier) {
        let phase = found.phase;
        found.complete(target.len());
        block.tensor_copies.arrived.push(Arrived { target, barrier, phase });
    }
    true
}

/// Decodes `cp.async.bulk.tensor` from global to shared memory.
pub fn decode(decoder: &mut Decoder, i: &Instruction) -> Result<(), PtxError> {
    let modifiers: Vec<&str> = i.modifiers().filter(|modifier| *modifier != "tile").collect();
    let dimensions = match modifiers[..] {
        [
            "async",
            "bulk",
            "tensor",
            dimensions,
            "shared::cta" | "shared::cluster",
            "global",
            "mbarrier::complete_tx::bytes",
        ] => dimensions.strip_suffix('d').and_then(|count| count.parse::<u32>().ok()),
        _ => None,
    };
    let dimensions = dimensions.ok_or_else(|| decoder.unknown(i))?;
    let [target, Operand::Tensor { map, coordinates }, barrier] = &i.operands[..] else {
        return Err(i.error("expected an address, a place in a tensor, and a barrier"));
    };
    if coordinates.len() != dimensions as usize {
        return Err(i.error(format!("{} coordinates", coordinates.len())));
    }
    let (a, offset) = decoder.narrow_address(i, target)?;
    let b = decoder.source::<u64>(i, &Operand::Register(*map))?;
    let (c, displacement) = decoder.narrow_address(i, barrier)?;
    let mut list = vec![displacement as u32];
    for coordinate in coordinates {
        list.push(decoder.source::<u32>(i, coordinate)?);
    }
    let step = decoder.push(i, begin(decoder.set));
    (step.a, step.b, step.c) = (a, b, c);
    (step.offset, step.control, step.list) = (offset, dimensions, list.into());
    Ok(())
}
