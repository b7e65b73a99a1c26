//! Page-locked memory of this machine, which devices copy to and from by themselves.

use crate::driver::{Driver, call};
use crate::error::{CudaError, binary_size};
use crate::sys::{self, EventHandle};
use std::ffi::c_void;
use std::sync::Mutex;

/// Bytes of one slot: long enough to keep a link busy and for threads to share its filling, short enough
/// for the link to begin early.
pub(crate) const SLOT_BYTES: usize = 8 << 20;
/// Slots of a ring for copies to the device: the device reads some while others are filled.
pub(crate) const UPLOAD_SLOTS: usize = 4;
/// Slots of a ring for copies to the host: one is written by the device, one read.
pub(crate) const DOWNLOAD_SLOTS: usize = 2;
/// Where copies begin within a slot.
pub(crate) const ALIGNMENT: usize = 256;

/// A device's page-locked memory, allocated at the first copy of each kind.
#[derive(Default)]
pub(crate) struct Staging {
    /// One ring for each stream, since a ring's slots come free in a stream's order.
    pub compute_uploads: Mutex<Option<Ring>>,
    pub copy_uploads: Mutex<Option<Ring>>,
    pub compute_downloads: Mutex<Option<Ring>>,
    pub copy_downloads: Mutex<Option<Ring>>,
}

impl Staging {
    /// Frees everything; nothing is under way, and the context is current.
    pub(crate) fn release(&mut self, driver: &Driver) {
        for ring in [
            &mut self.compute_uploads,
            &mut self.copy_uploads,
            &mut self.compute_downloads,
            &mut self.copy_downloads,
        ] {
            let ring = ring.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner());
            if let Some(ring) = ring.take() {
                ring.release(driver);
            }
        }
    }
}

/// Slots of page-locked memory that are used in turn.
pub(crate) struct Ring {
    memory: *mut u8,
    pub slots: Vec<Slot>,
    pub current: usize,
}

// SAFETY: the memory and the events belong to the ring and have no thread affinity.
unsafe impl Send for Ring {}

#[derive(Clone, Copy)]
pub(crate) struct Slot {
    /// Recorded when the last copy of the slot is queued.
    pub event: EventHandle,
    /// Whether that was done since the slot was last waited for.
    pub recorded: bool,
    /// Bytes that queued copies use.
    pub used: usize,
}

impl Ring {
    /// A ring on the device whose context is current.
    fn new(driver: &Driver, slots: usize) -> Result<Ring, CudaError> {
        let bytes = slots * SLOT_BYTES;
        let mut memory: *mut c_void = std::ptr::null_mut();
        let flags = sys::CU_MEMHOSTALLOC_PORTABLE;
        // SAFETY: writes one pointer.
        unsafe { call!(driver, cuMemHostAlloc(&mut memory, bytes, flags)) }.map_err(|error| {
            let bytes = binary_size(bytes as u64);
            error.while_doing(format!("{bytes} of page-locked host memory for copies"))
        })?;
        let mut ring = Ring { memory: memory.cast(), slots: Vec::new(), current: 0 };
        for _ in 0..slots {
            let mut event = EventHandle::NULL;
            // SAFETY: writes one handle.
            let made =
                unsafe { call!(driver, cuEventCreate(&mut event, sys::CU_EVENT_DISABLE_TIMING)) };
            if let Err(error) = made {
                ring.release(driver);
                return Err(error);
            }
            ring.slots.push(Slot { event, recorded: false, used: 0 });
        }
        Ok(ring)
    }

    fn release(self, driver: &Driver) {
        // Nobody is left to be told of failures.
        for slot in &self.slots {
            // SAFETY: made in `new`, destroyed once.
            let _ = unsafe { call!(driver, cuEventDestroy_v2(slot.event)) };
        }
        // SAFETY: allocated in `new`, freed once, and no copy is under way.
        let _ = unsafe { call!(driver, cuMemFreeHost(self.memory.cast())) };
    }

    pub fn at(&self, slot: usize, offset: usize) -> *mut u8 {
        // SAFETY: within the ring's memory, of which each slot is `SLOT_BYTES`.
        unsafe { self.memory.add(slot * SLOT_BYTES + offset) }
    }

    /// Waits until the copies of a slot are done.
    pub fn wait(&mut self, driver: &Driver, slot: usize) -> Result<(), CudaError> {
        let slot = &mut self.slots[slot];
        if slot.recorded {
            // SAFETY: the ring's own event.
            unsafe { call!(driver, cuEventSynchronize(slot.event)) }?;
            slot.recorded = false;
        }
        slot.used = 0;
        Ok(())
    }
}

/// The ring, made at first use.
pub(crate) fn ring<'a>(
    held: &'a mut Option<Ring>,
    driver: &Driver,
    slots: usize,
) -> Result<&'a mut Ring, CudaError> {
    Ok(match held {
        Some(ring) => ring,
        None => held.insert(Ring::new(driver, slots)?),
    })
}
