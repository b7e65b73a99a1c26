//! Fences, hints and traps.

use crate::ptx::{Immediate, Instruction, Operand, PtxError};

use super::decoder::Decoder;
use super::fault::{Fault, FaultKind, Outcome};
use super::matrix::check_whole;
use super::phase_barrier;
use super::step::{Step, handlers};
use super::thread_block::ThreadBlock;
use super::warp::Warp;

handlers! {
    fn nothing = do_nothing;
    fn trap = do_trap;
    fn meet = do_meet;
    fn come = do_come;
    fn take_registers = do_take_registers;
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

/// `bar.arrive`: comes to barrier `a`, of [`Step::control`] threads, and goes on.
fn do_come(warp: &mut Warp, block: &mut ThreadBlock<'_>, step: &Step, mask: u32) -> Outcome {
    if mask != warp.alive {
        let lane = (warp.alive & !mask).trailing_zeros();
        let message = "a barrier that not all threads of the warp reach together";
        return Err(Fault::new(FaultKind::LaunchFailed, lane, message));
    }
    let number = warp.words[step.a as usize].0[mask.trailing_zeros() as usize & 31];
    block.progress += 1;
    block.meetings.come(warp.index, number, Some(step.control), false)
}

/// `setmaxnreg`: has [`Step::control`] registers a lane from here on.
fn do_take_registers(
    warp: &mut Warp,
    _block: &mut ThreadBlock<'_>,
    step: &Step,
    mask: u32,
) -> Outcome {
    check_whole(warp, mask)?;
    warp.registers = Some(step.control);
    Ok(())
}

/// Decodes what orders memory or hints at it, and `trap`.
pub fn decode(decoder: &mut Decoder, i: &Instruction) -> Result<(), PtxError> {
    match (i.name(), i.has("warp")) {
        ("fence", _) if i.has("mbarrier_init") || i.has("proxy") && i.has("async") => {
            phase_barrier::decode_fence(decoder, i);
            Ok(())
        }
        ("bar" | "barrier", false) if i.has("arrive") => {
            let [number, Operand::Immediate(Immediate::Integer(threads))] = &i.operands[..] else {
                return Err(i.error("expected a barrier and a number of threads"));
            };
            let a = decoder.source::<u32>(i, number)?;
            let step = decoder.push(i, come(decoder.set));
            (step.a, step.control) = (a, *threads as u32);
            Ok(())
        }
        ("setmaxnreg", _) => {
            let [Operand::Immediate(Immediate::Integer(count @ 24..=256))] = i.operands[..] else {
                return Err(i.error("expected 24 to 256 registers"));
            };
            if !count.is_multiple_of(8) {
                return Err(i.error("expected a multiple of 8"));
            }
            decoder.push(i, take_registers(decoder.set)).control = count as u32;
            Ok(())
        }
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
