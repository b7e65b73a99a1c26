//! `cp.async`: copies from global to shared memory that go on beside the kernel.
//!
//! They are made when the kernel waits for them, not before, and what they will write is poisoned
//! meanwhile: a kernel that doesn't wait reads poison.

use std::collections::VecDeque;

use crate::memory::POISON;
use crate::ptx::{Immediate, Instruction, Operand, PtxError};

use super::access;
use super::decoder::Decoder;
use super::fault::Outcome;
use super::step::{Step, handlers};
use super::thread_block::ThreadBlock;
use super::warp::{LANES, Warp};

/// The lanes' copies of one instruction.
#[derive(Clone, Copy, Debug)]
struct Copy {
    sources: [u64; LANES],
    targets: [u32; LANES],
    /// Bytes that each lane writes.
    bytes: usize,
    /// Bytes that each lane reads; zeros follow.
    read: [u32; LANES],
    /// The lanes that copy.
    mask: u32,
}

impl Copy {
    /// Writes what is read and zeros.
    fn perform<const BYTES: usize>(&self, shared: &mut [u8]) {
        for lane in (0..LANES).filter(|lane| self.mask >> lane & 1 == 1) {
            let mut values = [0_u8; BYTES];
            let (source, read) = (self.sources[lane] as *const u8, self.read[lane] as usize);
            // SAFETY: the ranges were found allocated when the copy began, as far as lanes read,
            // and nothing goes back to the host while a kernel runs.
            unsafe {
                if read >= BYTES {
                    values = source.cast::<[u8; BYTES]>().read_unaligned();
                } else {
                    std::ptr::copy_nonoverlapping(source, values.as_mut_ptr(), read);
                }
            }
            let target = self.targets[lane] as usize;
            shared[target..target + BYTES].copy_from_slice(&values);
        }
    }

    fn poison<const BYTES: usize>(&self, shared: &mut [u8]) {
        for lane in (0..LANES).filter(|lane| self.mask >> lane & 1 == 1) {
            let target = self.targets[lane] as usize;
            shared[target..target + BYTES].copy_from_slice(&[POISON; BYTES]);
        }
    }
}

/// Copies that a warp began and didn't wait for.
#[derive(Debug, Default)]
pub struct Copies {
    pending: VecDeque<Copy>,
    /// Numbers of copies of the groups that were committed, oldest first.
    groups: VecDeque<usize>,
    /// Copies since the last commit.
    open: usize,
}

impl Copies {
    /// Forgets all.
    pub fn clear(&mut self) {
        self.pending.clear();
        self.groups.clear();
        self.open = 0;
    }

    fn commit(&mut self) {
        self.groups.push_back(self.open);
        self.open = 0;
    }

    /// Makes the copies of all groups but the last `keep`.
    fn wait(&mut self, keep: usize, shared: &mut [u8]) {
        while self.groups.len() > keep
            && let Some(count) = self.groups.pop_front()
        {
            for copy in self.pending.drain(..count) {
                match copy.bytes {
                    4 => copy.perform::<4>(shared),
                    8 => copy.perform::<8>(shared),
                    _ => copy.perform::<16>(shared),
                }
            }
        }
    }
}

handlers! {
    fn begin = begin_copies;
    fn commit_group = commit_copies;
    fn wait_group = wait_copies;
}

/// `a`: shared address, `b`: global address, `c`: bytes to read, `control`: bytes to write.
fn begin_copies(warp: &mut Warp, block: &mut ThreadBlock<'_>, step: &Step, mask: u32) -> Outcome {
    let bytes = step.control as usize;
    let read: [u32; LANES] = warp.words[step.c as usize].0;
    let readers = (0..LANES).fold(0, |bits, lane| bits | u32::from(read[lane] != 0) << lane) & mask;
    let targets = warp.words[step.a as usize].0;
    let targets = access::within("shared", block.shared.len(), &targets, step.offset, mask, bytes)?;
    let mut sources = [0; LANES];
    if readers != 0 {
        let offset = i64::from(step.list[0] as i32);
        sources = access::global(
            block,
            step.cache,
            &warp.longs[step.b as usize].0,
            offset,
            readers,
            bytes,
        )?;
    }
    let copy = Copy { sources, targets, bytes, read, mask };
    match bytes {
        4 => copy.poison::<4>(&mut block.shared),
        8 => copy.poison::<8>(&mut block.shared),
        _ => copy.poison::<16>(&mut block.shared),
    }
    warp.copies.pending.push_back(copy);
    warp.copies.open += 1;
    Ok(())
}

fn commit_copies(
    warp: &mut Warp,
    _block: &mut ThreadBlock<'_>,
    _step: &Step,
    _mask: u32,
) -> Outcome {
    warp.copies.commit();
    Ok(())
}

fn wait_copies(warp: &mut Warp, block: &mut ThreadBlock<'_>, step: &Step, _mask: u32) -> Outcome {
    if step.control == u32::MAX {
        warp.copies.commit();
        warp.copies.wait(0, &mut block.shared);
    } else {
        warp.copies.wait(step.control as usize, &mut block.shared);
    }
    Ok(())
}

/// Decodes `cp.async`.
pub fn decode(decoder: &mut Decoder, instruction: &Instruction) -> Result<(), PtxError> {
    if instruction.has("bulk") && instruction.has("tensor") {
        return super::tensor_copy::decode(decoder, instruction);
    }
    if !instruction.has("async") || instruction.has("bulk") || instruction.has("mbarrier") {
        return Err(decoder.unknown(instruction));
    }
    if instruction.has("commit_group") {
        decoder.push(instruction, commit_group(decoder.set));
        return Ok(());
    }
    if instruction.has("wait_group") || instruction.has("wait_all") {
        let step = decoder.push(instruction, wait_group(decoder.set));
        step.control = match instruction.operands[..] {
            [] => u32::MAX,
            [Operand::Immediate(Immediate::Integer(keep))] => keep as u32,
            _ => return Err(instruction.error("expected a number of groups")),
        };
        return Ok(());
    }
    let [target, source, Operand::Immediate(Immediate::Integer(bytes @ (4 | 8 | 16))), rest @ ..] =
        &instruction.operands[..]
    else {
        return Err(instruction.error("expected two addresses and 4, 8 or 16 bytes"));
    };
    let (a, offset) = decoder.narrow_address(instruction, target)?;
    let (b, displacement) = decoder.wide_address(instruction, source)?;
    let c = match rest {
        [] => decoder.constant_word(*bytes as u32),
        [read] => decoder.source::<u32>(instruction, read)?,
        _ => return Err(instruction.error("too many operands")),
    };
    let displacement = i32::try_from(displacement)
        .map_err(|_| instruction.error("a displacement of more than 32 bits"))?;
    let cache = decoder.new_cache();
    let step = decoder.push(instruction, begin(decoder.set));
    (step.a, step.b, step.c) = (a, b, c);
    (step.offset, step.control, step.cache) = (offset, *bytes as u32, cache);
    step.list = Box::new([displacement as u32]);
    Ok(())
}
