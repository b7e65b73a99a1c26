//! What ranks do together: the functions, under their names.

#![allow(non_snake_case, reason = "the names that nccl.h gives them")]

use crate::communicator::{Hop, Transfers};
use crate::functions::{Handle, add, communicator};
use crate::status::{Failure, Status, answer};
use driver_in_use::Stream;
use std::ffi::{c_int, c_void};

fn element_bytes(element: c_int) -> Result<usize, Failure> {
    Ok(match element {
        0 | 1 => 1,
        6 | 9 => 2,
        2 | 3 | 7 => 4,
        4 | 5 | 8 => 8,
        _ => return Err(Failure::new(Status::ARGUMENT, format!("element type {element}"))),
    })
}

fn hop(
    address: u64,
    count: usize,
    element: c_int,
    peer: usize,
    stream: *mut c_void,
) -> Result<Hop, Failure> {
    let bytes = count * element_bytes(element)?;
    Ok(Hop { peer, kind: 0, address, bytes, stream: Stream(stream) })
}

/// # Safety
/// Pointers are what `nccl.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ncclSend(
    source: u64,
    count: usize,
    element: c_int,
    peer: c_int,
    handle: Handle,
    stream: *mut c_void,
) -> Status {
    let send = || {
        // SAFETY: the caller's communicator.
        let own = unsafe { communicator(handle) }?;
        let hop = Hop::point_to_point(element, hop(source, count, element, peer as usize, stream)?);
        add(own, Transfers { sends: vec![hop], ..Transfers::default() })
    };
    answer(send())
}

/// # Safety
/// Pointers are what `nccl.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ncclRecv(
    target: u64,
    count: usize,
    element: c_int,
    peer: c_int,
    handle: Handle,
    stream: *mut c_void,
) -> Status {
    let receive = || {
        // SAFETY: the caller's communicator.
        let own = unsafe { communicator(handle) }?;
        let hop = Hop::point_to_point(element, hop(target, count, element, peer as usize, stream)?);
        add(own, Transfers { receives: vec![hop], ..Transfers::default() })
    };
    answer(receive())
}

/// # Safety
/// Pointers are what `nccl.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ncclAllGather(
    source: u64,
    target: u64,
    count: usize,
    element: c_int,
    handle: Handle,
    stream: *mut c_void,
) -> Status {
    let gather = || {
        // SAFETY: the caller's communicator.
        let own = unsafe { communicator(handle) }?;
        let bytes = count * element_bytes(element)?;
        let mut transfers = Transfers::default();
        for peer in 0..own.size {
            let place = target + (peer * bytes) as u64;
            if peer == own.rank {
                transfers.kept.push((source, place, bytes, Stream(stream)));
                continue;
            }
            let of = |address| hop(address, count, element, peer, stream);
            transfers.sends.push(Hop::all_gather(element, of(source)?));
            transfers.receives.push(Hop::all_gather(element, of(place)?));
        }
        add(own, transfers)
    };
    answer(gather())
}

/// # Safety
/// Pointers are what `nccl.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ncclBroadcast(
    source: u64,
    target: u64,
    count: usize,
    element: c_int,
    root: c_int,
    handle: Handle,
    stream: *mut c_void,
) -> Status {
    let broadcast = || {
        // SAFETY: the caller's communicator.
        let own = unsafe { communicator(handle) }?;
        let mut transfers = Transfers::default();
        let root = root as usize;
        if own.rank == root {
            let bytes = count * element_bytes(element)?;
            transfers.kept.push((source, target, bytes, Stream(stream)));
            for peer in (0..own.size).filter(|peer| *peer != root) {
                let hop = hop(source, count, element, peer, stream)?;
                transfers.sends.push(Hop::broadcast(element, hop));
            }
        } else {
            let hop = hop(target, count, element, root, stream)?;
            transfers.receives.push(Hop::broadcast(element, hop));
        }
        add(own, transfers)
    };
    answer(broadcast())
}

fn no_sums() -> Status {
    answer(Err(Failure::new(Status::USAGE, "sums are not emulated")))
}

#[unsafe(no_mangle)]
pub extern "C" fn ncclAllReduce(
    _source: u64,
    _target: u64,
    _count: usize,
    _element: c_int,
    _reduction: c_int,
    _handle: Handle,
    _stream: *mut c_void,
) -> Status {
    no_sums()
}

#[unsafe(no_mangle)]
pub extern "C" fn ncclReduceScatter(
    _source: u64,
    _target: u64,
    _count: usize,
    _element: c_int,
    _reduction: c_int,
    _handle: Handle,
    _stream: *mut c_void,
) -> Status {
    no_sums()
}
