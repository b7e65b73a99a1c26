//! `mbarrier`: barriers in shared memory, whose phases end when all have arrived and all bytes are there.
//!
//! A wait that isn't over lets the block's other warps run. Their state is kept beside shared memory, so
//! that no store can disturb it unseen.

use std::collections::BTreeMap;

use crate::ptx::{Instruction, Operand, PtxError};

use super::access;
use super::decoder::Decoder;
use super::fault::{Fault, FaultKind, Outcome};
use super::step::{Step, handlers};
use super::thread_block::ThreadBlock;
use super::warp::{LANES, Warp, commit_predicate};

/// Bytes that a barrier has in shared memory.
const BYTES: usize = 8;

/// A barrier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhaseBarrier {
    /// Arrivals of each phase.
    count: u32,
    /// Arrivals that this phase still lacks.
    missing: u32,
    /// Bytes that this phase still lacks.
    bytes: i64,
    /// Phases that are over.
    pub phase: u64,
    /// The warp that made it, until it has fenced: copies don't see it before.
    unfenced: Option<u32>,
}

impl PhaseBarrier {
    fn settle(&mut self) {
        if self.missing == 0 && self.bytes == 0 {
            (self.missing, self.phase) = (self.count, self.phase + 1);
        }
    }

    /// Some bytes have come.
    pub fn complete(&mut self, bytes: usize) {
        self.bytes -= bytes as i64;
        self.settle();
    }

    /// Whether copies may use it.
    pub fn is_fenced(&self) -> bool {
        self.unfenced.is_none()
    }

    /// What it waits for, for messages.
    pub fn describe(&self) -> String {
        let PhaseBarrier { count, missing, bytes, phase, .. } = self;
        format!("in phase {phase}, {missing} of {count} arrivals and {bytes} bytes are missing")
    }
}

/// The barriers of a block by their addresses.
pub type PhaseBarriers = BTreeMap<u32, PhaseBarrier>;

/// What a warp that couldn't go on waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Address of the barrier.
    pub barrier: u32,
    /// The parity of the phase.
    pub parity: u32,
    /// The first lane that waits.
    pub lane: u32,
    /// Line of the PTX.
    pub line: u32,
}

handlers! {
    fn initialize = do_initialize;
    fn invalidate = do_invalidate;
    fn arrive = do_arrive;
    fn poll = do_poll;
    fn fence = do_fence;
}

fn addresses(
    warp: &Warp,
    block: &ThreadBlock<'_>,
    step: &Step,
    mask: u32,
) -> Result<[u32; LANES], Box<Fault>> {
    let addresses = &warp.words[step.a as usize].0;
    access::within("shared", block.shared.len(), addresses, step.offset, mask, BYTES)
}

fn lanes(mask: u32) -> impl Iterator<Item = usize> {
    (0..LANES).filter(move |lane| mask >> lane & 1 == 1)
}

/// The barrier at an address.
pub fn find(
    barriers: &mut PhaseBarriers,
    address: u32,
    lane: usize,
) -> Result<&mut PhaseBarrier, Box<Fault>> {
    barriers.get_mut(&address).ok_or_else(|| {
        let message = format!("no barrier was made at {address:#x} of shared memory");
        Fault::new(FaultKind::LaunchFailed, lane as u32, message)
    })
}

/// `a`: address; `b`: arrivals of a phase.
fn do_initialize(warp: &mut Warp, block: &mut ThreadBlock<'_>, step: &Step, mask: u32) -> Outcome {
    let places = addresses(warp, block, step, mask)?;
    for lane in lanes(mask) {
        let count = warp.words[step.b as usize].0[lane];
        if count == 0 || count >= 1 << 20 {
            let message = format!("a barrier of {count} arrivals");
            return Err(Fault::new(FaultKind::LaunchFailed, lane as u32, message));
        }
        let barrier =
            PhaseBarrier { count, missing: count, bytes: 0, phase: 0, unfenced: Some(warp.index) };
        if block.phases.insert(places[lane], barrier).is_some() {
            let message = format!("a barrier made where there is one, at {:#x}", places[lane]);
            return Err(Fault::new(FaultKind::LaunchFailed, lane as u32, message));
        }
    }
    block.progress += 1;
    Ok(())
}

fn do_invalidate(warp: &mut Warp, block: &mut ThreadBlock<'_>, step: &Step, mask: u32) -> Outcome {
    let places = addresses(warp, block, step, mask)?;
    for lane in lanes(mask) {
        find(&mut block.phases, places[lane], lane)?;
        block.phases.remove(&places[lane]);
    }
    Ok(())
}

/// `a`: address; `b`: bytes to expect; `c`: arrivals.
fn do_arrive(warp: &mut Warp, block: &mut ThreadBlock<'_>, step: &Step, mask: u32) -> Outcome {
    let places = addresses(warp, block, step, mask)?;
    for lane in lanes(mask) {
        let bytes = warp.words[step.b as usize].0[lane];
        let arrivals = warp.words[step.c as usize].0[lane];
        let barrier = find(&mut block.phases, places[lane], lane)?;
        if arrivals > barrier.missing {
            let message = format!(
                "more arrivals than the barrier at {:#x} expects: {}",
                places[lane],
                barrier.describe()
            );
            return Err(Fault::new(FaultKind::LaunchFailed, lane as u32, message));
        }
        barrier.bytes += i64::from(bytes);
        barrier.missing -= arrivals;
        barrier.settle();
    }
    block.progress += 1;
    Ok(())
}

/// `d` = whether the phase of parity `b` of the barrier at `a` is over.
fn do_poll(warp: &mut Warp, block: &mut ThreadBlock<'_>, step: &Step, mask: u32) -> Outcome {
    let places = addresses(warp, block, step, mask)?;
    let mut over = 0;
    for lane in lanes(mask) {
        let parity = warp.words[step.b as usize].0[lane];
        let barrier = find(&mut block.phases, places[lane], lane)?;
        if barrier.phase & 1 != u64::from(parity & 1) {
            over |= 1 << lane;
            warp.seen.insert(places[lane], barrier.phase);
        } else {
            let (barrier, lane) = (places[lane], lane as u32);
            warp.wait = Some(Wait { barrier, parity, lane, line: step.line });
        }
    }
    if over != 0 {
        block.progress += 1;
    }
    commit_predicate(warp, step.d, over, mask);
    Ok(())
}

fn do_fence(warp: &mut Warp, block: &mut ThreadBlock<'_>, _step: &Step, _mask: u32) -> Outcome {
    for barrier in block.phases.values_mut() {
        if barrier.unfenced == Some(warp.index) {
            barrier.unfenced = None;
        }
    }
    Ok(())
}

/// Decodes the fences that make barriers known to copies.
pub fn decode_fence(decoder: &mut Decoder, i: &Instruction) {
    decoder.push(i, fence(decoder.set));
}

/// Decodes `mbarrier`.
pub fn decode(decoder: &mut Decoder, i: &Instruction) -> Result<(), PtxError> {
    // What orders memory needs nothing: a block runs on one thread.
    let modifiers: Vec<&str> = i
        .modifiers()
        .filter(|modifier| {
            !matches!(*modifier, "shared" | "shared::cta" | "b64" | "cta" | "release" | "acquire")
        })
        .collect();
    let (one, none) = (decoder.constant_word(1), decoder.constant_word(0));
    match (&modifiers[..], &i.operands[..]) {
        (["init"], [address, count]) => {
            let (a, offset) = decoder.narrow_address(i, address)?;
            let b = decoder.source::<u32>(i, count)?;
            let step = decoder.push(i, initialize(decoder.set));
            (step.a, step.b, step.offset) = (a, b, offset);
        }
        (["inval"], [address]) => {
            let (a, offset) = decoder.narrow_address(i, address)?;
            let step = decoder.push(i, invalidate(decoder.set));
            (step.a, step.offset) = (a, offset);
        }
        (["arrive"], [Operand::Sink, address, rest @ ..]) if rest.len() < 2 => {
            let (a, offset) = decoder.narrow_address(i, address)?;
            let c = match rest {
                [count] => decoder.source::<u32>(i, count)?,
                _ => one,
            };
            let step = decoder.push(i, arrive(decoder.set));
            (step.a, step.b, step.c, step.offset) = (a, none, c, offset);
        }
        (["arrive", "expect_tx"], [Operand::Sink, address, bytes])
        | (["expect_tx"], [address, bytes]) => {
            let (a, offset) = decoder.narrow_address(i, address)?;
            let b = decoder.source::<u32>(i, bytes)?;
            let c = if modifiers[0] == "arrive" { one } else { none };
            let step = decoder.push(i, arrive(decoder.set));
            (step.a, step.b, step.c, step.offset) = (a, b, c, offset);
        }
        // How long to wait at most may follow.
        (
            ["try_wait" | "test_wait", "parity"],
            [over, address, parity] | [over, address, parity, _],
        ) => {
            let d = decoder.predicate_target(i, over)?;
            let (a, offset) = decoder.narrow_address(i, address)?;
            let b = decoder.source::<u32>(i, parity)?;
            let step = decoder.push(i, poll(decoder.set));
            (step.d, step.a, step.b, step.offset) = (d, a, b, offset);
        }
        _ => return Err(decoder.unknown(i)),
    }
    Ok(())
}
