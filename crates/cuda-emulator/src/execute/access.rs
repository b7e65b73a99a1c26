//! Addresses of lanes, checked.

use std::sync::PoisonError;

use super::fault::{Fault, FaultKind};
use super::thread_block::ThreadBlock;
use super::warp::{LANES, Warp};

/// Where generic addresses of shared memory begin. No allocation of the host lies there.
pub const SHARED_WINDOW: u64 = 0x0100_0000_0000_0000;

/// Where generic addresses of local memory begin.
pub const LOCAL_WINDOW: u64 = 0x0200_0000_0000_0000;

/// Where generic addresses of a kernel's arguments begin.
pub const PARAMETER_WINDOW: u64 = 0x0300_0000_0000_0000;

/// Bytes of each window.
pub const WINDOW: u64 = 1 << 32;

/// Addresses of this process, one per lane. Those of lanes that don't take part are those of one
/// that does.
pub type Pointers = [u64; LANES];

/// Addresses in global memory, each with `bytes` bytes allocated behind it.
#[inline(always)]
pub fn global(
    block: &mut ThreadBlock<'_>,
    cache: u32,
    addresses: &[u64; LANES],
    offset: i64,
    mask: u32,
    bytes: usize,
) -> Result<Pointers, Box<Fault>> {
    let bytes = bytes as u64;
    let first = addresses[mask.trailing_zeros() as usize & (LANES - 1)];
    let mut pointers = [0; LANES];
    for lane in 0..LANES {
        let address = if mask >> lane & 1 == 1 { addresses[lane] } else { first };
        pointers[lane] = address.wrapping_add_signed(offset);
    }
    let region = block.cached[cache as usize];
    let room = (region.end - region.start).saturating_sub(bytes);
    let mut outside = region.end - region.start < bytes;
    let mut odd = 0;
    for pointer in &pointers {
        outside |= pointer.wrapping_sub(region.start) > room;
        odd |= pointer & (bytes - 1);
    }
    if outside || odd != 0 {
        global_one_by_one(block, cache, &pointers, mask, bytes)?;
    }
    Ok(pointers)
}

#[cold]
fn global_one_by_one(
    block: &mut ThreadBlock<'_>,
    cache: u32,
    pointers: &Pointers,
    mask: u32,
    bytes: u64,
) -> Result<(), Box<Fault>> {
    let cached = &mut block.cached[cache as usize];
    let memory = block.memory.lock().unwrap_or_else(PoisonError::into_inner);
    for lane in (0..LANES).filter(|lane| mask >> lane & 1 == 1) {
        let address = pointers[lane];
        if address & (bytes - 1) != 0 {
            return Err(misaligned("global", lane, address, bytes as usize));
        }
        if cached.holds(address, bytes) {
            continue;
        }
        match memory.region(address) {
            Some(region) if region.holds(address, bytes) => *cached = region,
            _ => {
                let near = memory.describe(address);
                let message =
                    format!("access to {bytes} bytes of global memory at {address:#x}, {near}");
                return Err(Fault::new(FaultKind::IllegalAddress, lane as u32, message));
            }
        }
    }
    Ok(())
}

fn misaligned(space: &str, lane: usize, address: u64, bytes: usize) -> Box<Fault> {
    let message = format!(
        "access to {bytes} bytes of {space} memory at {address:#x}, no multiple of {bytes}"
    );
    Fault::new(FaultKind::MisalignedAddress, lane as u32, message)
}

/// Offsets in a memory of `size` bytes, each with `bytes` bytes behind it that lie in it.
#[inline(always)]
pub fn within(
    space: &str,
    size: usize,
    addresses: &[u32; LANES],
    offset: i64,
    mask: u32,
    bytes: usize,
) -> Result<[u32; LANES], Box<Fault>> {
    let first = addresses[mask.trailing_zeros() as usize & (LANES - 1)];
    let room = size as u32 - (bytes as u32).min(size as u32);
    let mut offsets = [0; LANES];
    let mut outside = size < bytes;
    let mut odd = 0;
    for lane in 0..LANES {
        let address = if mask >> lane & 1 == 1 { addresses[lane] } else { first };
        let address = address.wrapping_add(offset as u32);
        offsets[lane] = address;
        outside |= address > room;
        odd |= address & (bytes as u32 - 1);
    }
    if outside || odd != 0 {
        return Err(within_fault(space, size, &offsets, mask, bytes));
    }
    Ok(offsets)
}

#[cold]
fn within_fault(
    space: &str,
    size: usize,
    offsets: &[u32; LANES],
    mask: u32,
    bytes: usize,
) -> Box<Fault> {
    for lane in (0..LANES).filter(|lane| mask >> lane & 1 == 1) {
        let address = offsets[lane];
        if address as usize + bytes > size {
            let message = format!(
                "access to {bytes} bytes of {space} memory at {address:#x} of {size:#x} bytes"
            );
            return Fault::new(FaultKind::IllegalAddress, lane as u32, message);
        }
        if address as usize & (bytes - 1) != 0 {
            return misaligned(space, lane, u64::from(address), bytes);
        }
    }
    Fault::new(FaultKind::IllegalAddress, 0, format!("access to {space} memory"))
}

/// Addresses in shared memory.
#[inline(always)]
pub fn shared(
    block: &mut ThreadBlock<'_>,
    addresses: &[u32; LANES],
    offset: i64,
    mask: u32,
    bytes: usize,
) -> Result<Pointers, Box<Fault>> {
    let offsets = within("shared", block.shared.len(), addresses, offset, mask, bytes)?;
    let start = block.shared.as_mut_ptr() as u64;
    let mut pointers = [0; LANES];
    for lane in 0..LANES {
        pointers[lane] = start + u64::from(offsets[lane]);
    }
    Ok(pointers)
}

/// Addresses in local memory.
#[inline(always)]
pub fn local(
    warp: &mut Warp,
    addresses: &[u32; LANES],
    offset: i64,
    mask: u32,
    bytes: usize,
) -> Result<Pointers, Box<Fault>> {
    let size = warp.local.len() / LANES;
    let offsets = within("local", size, addresses, offset, mask, bytes)?;
    let start = warp.local.as_mut_ptr() as u64;
    let mut pointers = [0; LANES];
    for lane in 0..LANES {
        let active = mask >> lane & 1 == 1;
        // A lane that doesn't take part is given the first address of its own memory.
        let offset = if active { offsets[lane] as usize } else { 0 };
        pointers[lane] = start + (lane * size + offset) as u64;
    }
    Ok(pointers)
}

/// Addresses in whichever memory each lane's generic address names.
pub fn generic(
    warp: &mut Warp,
    block: &mut ThreadBlock<'_>,
    cache: u32,
    addresses: &[u64; LANES],
    offset: i64,
    mask: u32,
    bytes: usize,
) -> Result<Pointers, Box<Fault>> {
    let mut pointers = [0; LANES];
    let mut spare = None;
    for lane in (0..LANES).filter(|lane| mask >> lane & 1 == 1) {
        let address = addresses[lane].wrapping_add_signed(offset);
        let one = 1 << lane;
        let near = |window: u64| address >= window && address - window < WINDOW;
        pointers[lane] = if near(SHARED_WINDOW) {
            shared(block, &[(address - SHARED_WINDOW) as u32; LANES], 0, one, bytes)?[lane]
        } else if near(LOCAL_WINDOW) {
            local(warp, &[(address - LOCAL_WINDOW) as u32; LANES], 0, one, bytes)?[lane]
        } else {
            global(block, cache, &[address; LANES], 0, one, bytes)?[lane]
        };
        spare = spare.or(Some(pointers[lane]));
    }
    for lane in (0..LANES).filter(|lane| mask >> lane & 1 == 0) {
        pointers[lane] = spare.unwrap_or(0);
    }
    Ok(pointers)
}
