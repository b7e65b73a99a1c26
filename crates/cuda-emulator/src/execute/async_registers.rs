//! Registers that asynchronous products use while other instructions run, and who may touch them when.
//!
//! A product's sums may be neither read nor written until it is waited for, what it multiplies not
//! written; and what was changed since reaches a product only behind `wgmma.fence`.

use std::collections::BTreeSet;

use crate::ptx::{Instruction, RegisterId, registers};

use super::decoder::Decoder;
use super::fault::{Fault, FaultKind, Outcome};
use super::step::{Step, handlers};
use super::thread_block::ThreadBlock;
use super::warp::Warp;

/// What a warp's products do with a register.
#[derive(Clone, Copy, Debug, Default)]
pub struct RegisterUse {
    /// Products under way that add to it.
    pub sums: u16,
    /// Products under way that multiply it.
    pub factors: u16,
    /// Whether it was fenced since it was written.
    pub fenced: bool,
}

handlers! {
    fn touch = do_touch;
}

fn misused(warp: &Warp, message: &str) -> Box<Fault> {
    Fault::new(FaultKind::LaunchFailed, warp.alive.trailing_zeros() & 31, message)
}

/// `list`: registers read, as many as [`Step::control`], then registers written.
fn do_touch(warp: &mut Warp, _block: &mut ThreadBlock<'_>, step: &Step, _mask: u32) -> Outcome {
    let (read, written) = step.list.split_at(step.control as usize);
    if read.iter().any(|slot| warp.products.uses[*slot as usize].sums > 0) {
        let message =
            "reads a register that a product under way adds to: wgmma.wait_group is missing";
        return Err(misused(warp, message));
    }
    for slot in written {
        let used = &mut warp.products.uses[*slot as usize];
        if used.sums > 0 || used.factors > 0 {
            let message =
                "writes a register that a product under way uses: wgmma.wait_group is missing";
            return Err(misused(warp, message));
        }
        used.fenced = false;
    }
    Ok(())
}

/// Appends the check that goes before an instruction which touches registers of products.
pub fn decode_touch(decoder: &mut Decoder, i: &Instruction, tracked: &BTreeSet<RegisterId>) {
    if tracked.is_empty() || i.name() == "wgmma" {
        return;
    }
    let (mut read, mut written) = (Vec::new(), Vec::new());
    registers(i, &mut |register, writes| {
        if tracked.contains(&register) {
            let list = if writes { &mut written } else { &mut read };
            list.push(decoder.slots[register as usize]);
        }
    });
    if read.is_empty() && written.is_empty() {
        return;
    }
    let count = read.len();
    read.extend(written);
    let step = decoder.push(i, touch(decoder.set));
    (step.control, step.list) = (count as u32, read.into());
}
