//! Allocations and copies.

use std::alloc::{Layout, alloc, dealloc};
use std::ffi::{c_uint, c_void};

use crate::memory::POISON;

use super::functions::{functions, put};
use super::state::{Device, Emulator, lock};
use super::status::{Answer, Failure, Status};

/// Allocates on a device for a function of the driver.
pub fn allocate(device: &Device, target: *mut u64, bytes: usize) -> Answer {
    if bytes == 0 {
        return Err(Failure::new(Status::INVALID_VALUE, "0 bytes asked for"));
    }
    let address = lock(&device.memory).allocate(bytes).map_err(|refused| {
        let message = format!("{} bytes asked for, {} free", refused.asked, refused.free);
        Failure::new(Status::OUT_OF_MEMORY, message)
    })?;
    // SAFETY: the pointer of the caller of the function of the driver.
    unsafe { put(target, address) }
}

/// Frees what begins at an address, wherever it is.
pub fn free(address: u64) -> Answer {
    let emulator = Emulator::get()?;
    if emulator.devices.iter().any(|device| lock(&device.memory).free(address)) {
        return Ok(());
    }
    let near = emulator.devices.first().map(|device| lock(&device.memory).describe(address));
    let message =
        format!("{address:#x} isn't the address of an allocation: {}", near.unwrap_or_default());
    Err(Failure::new(Status::INVALID_VALUE, message))
}

/// Does `copy` in a stream's order, with the memory at the addresses kept from reuse meanwhile.
fn in_order(stream: *mut c_void, ranges: &[(u64, usize)], copy: impl FnOnce()) -> Answer {
    let emulator = Emulator::get()?;
    emulator.current()?;
    let stream = emulator.stream(stream)?;
    let _order = lock(&stream.order);
    let mut used = Vec::with_capacity(ranges.len());
    for (address, bytes) in ranges {
        let device = emulator.holder(*address, *bytes)?;
        used.push(device);
    }
    for device in &used {
        lock(&device.memory).begin_use();
    }
    copy();
    for device in &used {
        lock(&device.memory).end_use();
    }
    Ok(())
}

fn check_host(pointer: *const c_void) -> Answer {
    if pointer.is_null() {
        return Err(Failure::new(Status::INVALID_VALUE, "the host's pointer is null"));
    }
    Ok(())
}

/// What pinned memory's addresses are multiples of.
const PINNED_ALIGNMENT: usize = 4096;

functions! {
    /// Allocates on the current device.
    fn cuMemAlloc_v2(address: *mut u64, bytes: usize) {
        allocate(Emulator::get()?.current()?.1, address, bytes)
    }

    /// Frees.
    fn cuMemFree_v2(address: u64) {
        if address == 0 {
            return Ok(());
        }
        free(address)
    }

    /// Frees in a stream's order.
    fn cuMemFreeAsync(address: u64, stream: *mut c_void) {
        let stream = Emulator::get()?.stream(stream)?;
        let _order = lock(&stream.order);
        free(address)
    }

    /// Allocates on a stream's device, in its order.
    fn cuMemAllocAsync(address: *mut u64, bytes: usize, stream: *mut c_void) {
        let emulator = Emulator::get()?;
        let stream = emulator.stream(stream)?;
        allocate(&emulator.devices[stream.device], address, bytes)
    }

    /// Allocates host memory that devices copy from and to.
    fn cuMemHostAlloc(target: *mut *mut c_void, bytes: usize, _flags: c_uint) {
        let emulator = Emulator::get()?;
        emulator.current()?;
        let layout = Layout::from_size_align(bytes, PINNED_ALIGNMENT)
            .ok()
            .filter(|layout| layout.size() > 0)
            .ok_or_else(|| Failure::new(Status::INVALID_VALUE, format!("{bytes} bytes")))?;
        // SAFETY: the size isn't 0.
        let pointer = unsafe { alloc(layout) };
        if pointer.is_null() {
            return Err(Failure::new(Status::OUT_OF_MEMORY, format!("{bytes} bytes of the host")));
        }
        // SAFETY: just allocated with that size.
        unsafe { pointer.write_bytes(POISON, bytes) };
        lock(&emulator.pinned).insert(pointer as usize, bytes);
        // SAFETY: the caller's pointer.
        unsafe { put(target, pointer.cast()) }
    }

    /// Frees what `cuMemHostAlloc` gave.
    fn cuMemFreeHost(pointer: *mut c_void) {
        let bytes = lock(&Emulator::get()?.pinned).remove(&(pointer as usize)).ok_or_else(|| {
            let message = format!("{pointer:p} isn't pinned memory");
            Failure::new(Status::INVALID_VALUE, message)
        })?;
        // SAFETY: allocated by `cuMemHostAlloc` with this layout, and taken out of the table.
        unsafe {
            dealloc(pointer.cast(), Layout::from_size_align_unchecked(bytes, PINNED_ALIGNMENT));
        }
        Ok(())
    }

    /// Copies to a device.
    fn cuMemcpyHtoDAsync_v2(
        target: u64,
        source: *const c_void,
        bytes: usize,
        stream: *mut c_void,
    ) {
        check_host(source)?;
        in_order(stream, &[(target, bytes)], || {
            // SAFETY: the target was found allocated; the caller vouches for the source.
            unsafe { std::ptr::copy(source.cast::<u8>(), target as *mut u8, bytes) };
        })
    }

    /// Copies from a device.
    fn cuMemcpyDtoHAsync_v2(
        target: *mut c_void,
        source: u64,
        bytes: usize,
        stream: *mut c_void,
    ) {
        check_host(target)?;
        in_order(stream, &[(source, bytes)], || {
            // SAFETY: the source was found allocated; the caller vouches for the target.
            unsafe { std::ptr::copy(source as *const u8, target.cast::<u8>(), bytes) };
        })
    }

    /// Copies within a device or between two.
    fn cuMemcpyDtoDAsync_v2(target: u64, source: u64, bytes: usize, stream: *mut c_void) {
        in_order(stream, &[(target, bytes), (source, bytes)], || {
            // SAFETY: both were found allocated.
            unsafe { std::ptr::copy(source as *const u8, target as *mut u8, bytes) };
        })
    }

    /// Fills memory with a byte.
    fn cuMemsetD8Async(target: u64, byte: u8, bytes: usize, stream: *mut c_void) {
        in_order(stream, &[(target, bytes)], || {
            // SAFETY: the target was found allocated.
            unsafe { (target as *mut u8).write_bytes(byte, bytes) };
        })
    }
}
