//! Fences, hints and traps.

use crate::ptx::{Instruction, PtxError};

use super::decoder::Decoder;
use super::fault::{Fault, FaultKind, Outcome};
use super::step::{Step, handlers};
use super::thread_block::ThreadBlock;
use super::warp::Warp;

handlers! {
    fn nothing = do_nothing;
    fn trap = do_trap;
    fn meet = do_meet;
}

fn do_nothing(_warp: &mut Warp, _block: &mut ThreadBlock<'_>, _step: &Step, _mask: u32) -> Outcome {
    Ok(())
}

fn do_trap(_warp: &mut Warp, _block: &mut ThreadBlock<'_>, _step: &Step, mask: u32) -> Outcome {
    Err(Fault::new(FaultKind::LaunchFailed, mask.trailing_zeros(), "a trap"))
}

/// The lanes that an instruction with a mask of members needs.
pub fn check_members(warp: &Warp, members: u32, mask: u32) -> Outcome {
    let absent = members & warp.alive & !mask;
    if absent != 0 {
        let lane = absent.trailing_zeros();
        let message = format!("lane {lane} is a member but isn't there");
        return Err(Fault::new(FaultKind::LaunchFailed, lane, message));
    }
    Ok(())
}

/// `bar.warp.sync`: all members must be here.
fn do_meet(warp: &mut Warp, _block: &mut ThreadBlock<'_>, step: &Step, mask: u32) -> Outcome {
    let members = warp.words[step.a as usize].0[mask.trailing_zeros() as usize & 31];
    check_members(warp, members, mask)
}

/// Decodes what orders memory or hints at it, and `trap`.
pub fn decode(decoder: &mut Decoder, i: &Instruction) -> Result<(), PtxError> {
    match (i.name(), i.has("warp")) {
        // Atomics are sequentially consistent on this device, and blocks run on one thread each.
        ("membar" | "fence" | "prefetch" | "prefetchu" | "discard" | "applypriority", _)
        | ("nanosleep" | "pmevent", _) => {
            decoder.push(i, nothing(decoder.set));
            Ok(())
        }
        ("trap", _) => {
            decoder.push(i, trap(decoder.set));
            Ok(())
        }
        ("bar" | "barrier", true) => {
            let [members] = &i.operands[..] else { return Err(i.error("expected the members")) };
            let a = decoder.source::<u32>(i, members)?;
            decoder.push(i, meet(decoder.set)).a = a;
            Ok(())
        }
        _ => Err(decoder.unknown(i)),
    }
}
