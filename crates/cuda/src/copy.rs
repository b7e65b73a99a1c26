//! Copies between host and device, staged through page-locked memory.

use crate::device::{Device, Stream};
use crate::driver::{Driver, call};
use crate::error::{CudaError, binary_size};
use crate::lock;
use crate::sys::{self, EventHandle};
use std::collections::VecDeque;
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::sync::Mutex;

/// Bytes of one slot: long enough to keep a link busy, short enough to overlap with its filling.
const SLOT_BYTES: usize = 4 << 20;
/// Slots of a ring for copies to the device: the device reads some while others are filled.
const UPLOAD_SLOTS: usize = 4;
/// Slots of the ring for copies to the host: one is written by the device, one read.
const DOWNLOAD_SLOTS: usize = 2;
/// Where copies begin within a slot.
const ALIGNMENT: usize = 256;

/// A device's page-locked memory, allocated at the first copy of each kind.
#[derive(Default)]
pub(crate) struct Staging {
    /// One ring for each stream, since a ring's slots come free in a stream's order.
    compute_uploads: Mutex<Option<Ring>>,
    copy_uploads: Mutex<Option<Ring>>,
    downloads: Mutex<Option<Ring>>,
}

impl Staging {
    /// Frees everything; nothing is under way, and the context is current.
    pub(crate) fn release(&mut self, driver: &Driver) {
        for ring in [&mut self.compute_uploads, &mut self.copy_uploads, &mut self.downloads] {
            let ring = ring.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner());
            if let Some(ring) = ring.take() {
                ring.release(driver);
            }
        }
    }
}

/// Slots of page-locked memory that are used in turn.
struct Ring {
    memory: *mut u8,
    slots: Vec<Slot>,
    current: usize,
}

// SAFETY: the memory and the events belong to the ring and have no thread affinity.
unsafe impl Send for Ring {}

#[derive(Clone, Copy)]
struct Slot {
    /// Recorded when the last copy of the slot is queued.
    event: EventHandle,
    /// Whether that was done since the slot was last waited for.
    recorded: bool,
    /// Bytes that queued copies use.
    used: usize,
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

    fn at(&self, slot: usize, offset: usize) -> *mut u8 {
        // SAFETY: within the ring's memory, of which each slot is `SLOT_BYTES`.
        unsafe { self.memory.add(slot * SLOT_BYTES + offset) }
    }

    /// Waits until the copies of a slot are done.
    fn wait(&mut self, driver: &Driver, slot: usize) -> Result<(), CudaError> {
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
fn ring<'a>(
    held: &'a mut Option<Ring>,
    driver: &Driver,
    slots: usize,
) -> Result<&'a mut Ring, CudaError> {
    Ok(match held {
        Some(ring) => ring,
        None => held.insert(Ring::new(driver, slots)?),
    })
}

impl Device {
    /// Queues a copy to the device on the compute stream. `source` may be changed or freed as soon
    /// as this returns: it has been copied to page-locked memory by then.
    ///
    /// # Safety
    ///
    /// `target` is the address of `source.len()` bytes of this device's memory, which live until
    /// the copy is done, and which nothing else queued uses at the same time.
    ///
    /// # Errors
    ///
    /// `OutOfMemory` where there is no page-locked memory, otherwise what the driver says.
    pub unsafe fn copy_to_device(&self, target: u64, source: &[u8]) -> Result<(), CudaError> {
        // SAFETY: the caller's promise.
        unsafe { self.copy_to_device_on(Stream::Compute, target, source) }
    }

    /// [`Device::copy_to_device`] on either stream. On the copy stream it runs beside kernels: order
    /// it by events ([`Device::record`], [`Device::wait`]) after what used `target` before, its
    /// allocation included, and before what uses it next, its drop included.
    ///
    /// # Safety
    ///
    /// As [`Device::copy_to_device`].
    ///
    /// # Errors
    ///
    /// As [`Device::copy_to_device`].
    pub unsafe fn copy_to_device_on(
        &self,
        stream: Stream,
        target: u64,
        source: &[u8],
    ) -> Result<(), CudaError> {
        if source.is_empty() {
            return Ok(());
        }
        self.make_current()?;
        // SAFETY: the caller's promise.
        unsafe { self.upload(stream, target, source) }.map_err(|error| {
            let bytes = binary_size(source.len() as u64);
            error.while_doing(format!("copying {bytes} to {}", self.name()))
        })
    }

    /// # Safety
    ///
    /// As [`Device::copy_to_device`].
    unsafe fn upload(&self, stream: Stream, target: u64, source: &[u8]) -> Result<(), CudaError> {
        let driver = self.driver();
        let mut held = lock(match stream {
            Stream::Compute => &self.staging.compute_uploads,
            Stream::Copy => &self.staging.copy_uploads,
        });
        let ring = ring(&mut held, driver, UPLOAD_SLOTS)?;
        let mut done = 0;
        while done < source.len() {
            if ring.slots[ring.current].used == SLOT_BYTES {
                let slot = &mut ring.slots[ring.current];
                if !slot.recorded {
                    // SAFETY: the ring's event, the device's stream.
                    unsafe { call!(driver, cuEventRecord(slot.event, self.stream(stream))) }?;
                    slot.recorded = true;
                }
                let next = (ring.current + 1) % ring.slots.len();
                ring.wait(driver, next)?;
                ring.current = next;
            }
            let (slot, offset) = (ring.current, ring.slots[ring.current].used);
            let bytes = (source.len() - done).min(SLOT_BYTES - offset);
            let staged = ring.at(slot, offset);
            // SAFETY: within the source, and within the part of the slot that no copy uses.
            unsafe { source.as_ptr().add(done).copy_to_nonoverlapping(staged, bytes) };
            // Before the call: a copy that is refused must not be written over, it may be running.
            ring.slots[slot].used = (offset + bytes).next_multiple_of(ALIGNMENT).min(SLOT_BYTES);
            let target = target + done as u64;
            // SAFETY: the slot is left alone until its event has passed; the caller vouches for the
            // target.
            unsafe {
                call!(
                    driver,
                    cuMemcpyHtoDAsync_v2(target, staged.cast(), bytes, self.stream(stream))
                )
            }?;
            done += bytes;
        }
        Ok(())
    }

    /// Copies from the device after what is queued on the compute stream, and waits for it.
    ///
    /// # Safety
    ///
    /// `source` is the address of `target.len()` bytes of this device's memory.
    ///
    /// # Errors
    ///
    /// Where that copy or work before it failed; `target` is then partly written.
    pub unsafe fn copy_to_host(&self, target: &mut [u8], source: u64) -> Result<(), CudaError> {
        // SAFETY: bytes, of which only initialised ones are written below.
        let target = unsafe {
            std::slice::from_raw_parts_mut(
                target.as_mut_ptr().cast::<MaybeUninit<u8>>(),
                target.len(),
            )
        };
        // SAFETY: the caller's promise.
        unsafe { self.copy_to_host_uninit(target, source) }
    }

    /// [`Device::copy_to_host`] to memory that was never written; after success it is, whole.
    ///
    /// # Safety
    ///
    /// As [`Device::copy_to_host`].
    ///
    /// # Errors
    ///
    /// As [`Device::copy_to_host`].
    pub unsafe fn copy_to_host_uninit(
        &self,
        target: &mut [MaybeUninit<u8>],
        source: u64,
    ) -> Result<(), CudaError> {
        if target.is_empty() {
            return Ok(());
        }
        self.make_current()?;
        let mut held = lock(&self.staging.downloads);
        let copied = ring(&mut held, self.driver(), DOWNLOAD_SLOTS)
            // SAFETY: the caller's promise.
            .and_then(|ring| unsafe { self.download(ring, target, source) });
        copied.map_err(|error| {
            // Nothing may write to the slots when they are next used. The error to tell is the first.
            // SAFETY: the device's own stream.
            let _ =
                unsafe { call!(self.driver(), cuStreamSynchronize(self.stream(Stream::Compute))) };
            let bytes = binary_size(target.len() as u64);
            error.while_doing(format!("copying {bytes} from {}", self.name()))
        })
    }

    /// # Safety
    ///
    /// As [`Device::copy_to_host`].
    unsafe fn download(
        &self,
        ring: &mut Ring,
        target: &mut [MaybeUninit<u8>],
        source: u64,
    ) -> Result<(), CudaError> {
        let driver = self.driver();
        let stream = self.stream(Stream::Compute);
        let mut chunks: VecDeque<(usize, &mut [MaybeUninit<u8>])> = VecDeque::new();
        let mut address = source;
        for (index, chunk) in target.chunks_mut(SLOT_BYTES).enumerate() {
            let slot = index % ring.slots.len();
            if chunks.len() == ring.slots.len()
                && let Some((slot, chunk)) = chunks.pop_front()
            {
                ring.fetch(driver, slot, chunk)?;
            }
            let staged = ring.at(slot, 0).cast();
            // SAFETY: the slot has been read; the caller vouches for the source.
            unsafe { call!(driver, cuMemcpyDtoHAsync_v2(staged, address, chunk.len(), stream)) }?;
            let event = ring.slots[slot].event;
            // SAFETY: the ring's event, the device's stream.
            unsafe { call!(driver, cuEventRecord(event, stream)) }?;
            ring.slots[slot].recorded = true;
            address += chunk.len() as u64;
            chunks.push_back((slot, chunk));
        }
        chunks.into_iter().try_for_each(|(slot, chunk)| ring.fetch(driver, slot, chunk))
    }

    /// Queues a copy within the device's memory on the compute stream.
    ///
    /// # Safety
    ///
    /// `target` and `source` are addresses of `bytes` bytes of this device's memory that don't
    /// overlap and live until the copy is done.
    ///
    /// # Errors
    ///
    /// What the driver says.
    pub unsafe fn copy_on_device(
        &self,
        target: u64,
        source: u64,
        bytes: usize,
    ) -> Result<(), CudaError> {
        if bytes == 0 {
            return Ok(());
        }
        self.make_current()?;
        let stream = self.stream(Stream::Compute);
        // SAFETY: the caller vouches for the addresses.
        unsafe { call!(self.driver(), cuMemcpyDtoDAsync_v2(target, source, bytes, stream)) }
    }

    /// Queues the writing of one byte everywhere on the compute stream.
    ///
    /// # Safety
    ///
    /// `target` is the address of `bytes` bytes of this device's memory that live until it is done.
    ///
    /// # Errors
    ///
    /// What the driver says.
    pub unsafe fn fill_bytes(&self, target: u64, byte: u8, bytes: usize) -> Result<(), CudaError> {
        if bytes == 0 {
            return Ok(());
        }
        self.make_current()?;
        let stream = self.stream(Stream::Compute);
        // SAFETY: the caller vouches for the address.
        unsafe { call!(self.driver(), cuMemsetD8Async(target, byte, bytes, stream)) }
    }
}

impl Ring {
    /// Waits for the copy to a slot and takes its bytes out.
    fn fetch(
        &mut self,
        driver: &Driver,
        slot: usize,
        target: &mut [MaybeUninit<u8>],
    ) -> Result<(), CudaError> {
        self.wait(driver, slot)?;
        let staged = self.at(slot, 0).cast_const().cast();
        // SAFETY: a slot holds at least a chunk, and the copy that filled it is done.
        unsafe { target.as_mut_ptr().copy_from_nonoverlapping(staged, target.len()) };
        Ok(())
    }
}
