//! Copies between host and device, staged through page-locked memory.

use crate::device::{Device, Stream};
use crate::driver::{Driver, call};
use crate::error::{CudaError, binary_size};
use crate::lock;
use crate::staging::{ALIGNMENT, DOWNLOAD_SLOTS, Ring, SLOT_BYTES, UPLOAD_SLOTS, ring};
use std::collections::VecDeque;
use std::mem::MaybeUninit;

/// Copies the first's bytes to the second, which is as long, whole, within this machine's memory: by
/// several threads, say, as one seldom keeps up with a link.
pub type CopyHere<'a> = &'a dyn Fn(&[u8], &mut [MaybeUninit<u8>]);

/// Copies on the calling thread.
fn copy_alone(source: &[u8], target: &mut [MaybeUninit<u8>]) {
    target.write_copy_of_slice(source);
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
        unsafe { self.copy_to_device_on(Stream::Compute, target, source, &copy_alone) }
    }

    /// [`Device::copy_to_device`] on either stream, its bytes brought to page-locked memory by `copy`, a slot
    /// while the device reads those before. On the copy stream it runs beside kernels: order it by events ([`Device::record`], [`Device::wait`]) after what used `target` before, its
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
        copy: CopyHere<'_>,
    ) -> Result<(), CudaError> {
        if source.is_empty() {
            return Ok(());
        }
        self.make_current()?;
        // SAFETY: the caller's promise.
        unsafe { self.upload(stream, target, source, copy) }.map_err(|error| {
            let bytes = binary_size(source.len() as u64);
            error.while_doing(format!("copying {bytes} to {}", self.name()))
        })
    }

    /// # Safety
    ///
    /// As [`Device::copy_to_device`].
    unsafe fn upload(
        &self,
        stream: Stream,
        target: u64,
        source: &[u8],
        copy: CopyHere<'_>,
    ) -> Result<(), CudaError> {
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
            // SAFETY: within the part of the slot that no copy uses.
            let free = unsafe { std::slice::from_raw_parts_mut(staged.cast(), bytes) };
            copy(&source[done..done + bytes], free);
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
        unsafe { self.copy_to_host_on(Stream::Compute, target, source, &copy_alone) }
    }

    /// [`Device::copy_to_host`] after what is queued on either stream, to memory that was never written;
    /// after success it is, whole. `copy` takes the bytes from page-locked memory, a slot while the device
    /// fills the next.
    ///
    /// # Safety
    ///
    /// As [`Device::copy_to_host`].
    ///
    /// # Errors
    ///
    /// As [`Device::copy_to_host`].
    pub unsafe fn copy_to_host_on(
        &self,
        stream: Stream,
        target: &mut [MaybeUninit<u8>],
        source: u64,
        copy: CopyHere<'_>,
    ) -> Result<(), CudaError> {
        if target.is_empty() {
            return Ok(());
        }
        self.make_current()?;
        let mut held = lock(match stream {
            Stream::Compute => &self.staging.compute_downloads,
            Stream::Copy => &self.staging.copy_downloads,
        });
        let copied = ring(&mut held, self.driver(), DOWNLOAD_SLOTS)
            // SAFETY: the caller's promise.
            .and_then(|ring| unsafe { self.download(ring, stream, target, source, copy) });
        copied.map_err(|error| {
            // Nothing may write to the slots when they are next used. The error to tell is the first.
            // SAFETY: the device's own stream.
            let _ = unsafe { call!(self.driver(), cuStreamSynchronize(self.stream(stream))) };
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
        stream: Stream,
        target: &mut [MaybeUninit<u8>],
        source: u64,
        copy: CopyHere<'_>,
    ) -> Result<(), CudaError> {
        let driver = self.driver();
        let stream = self.stream(stream);
        let mut chunks: VecDeque<(usize, &mut [MaybeUninit<u8>])> = VecDeque::new();
        let mut address = source;
        for (index, chunk) in target.chunks_mut(SLOT_BYTES).enumerate() {
            let slot = index % ring.slots.len();
            if chunks.len() == ring.slots.len()
                && let Some((slot, chunk)) = chunks.pop_front()
            {
                ring.fetch(driver, slot, chunk, copy)?;
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
        chunks.into_iter().try_for_each(|(slot, chunk)| ring.fetch(driver, slot, chunk, copy))
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
    /// As [`Device::fill_bytes_on`].
    ///
    /// # Errors
    ///
    /// What the driver says.
    pub unsafe fn fill_bytes(&self, target: u64, byte: u8, bytes: usize) -> Result<(), CudaError> {
        // SAFETY: the caller's promise.
        unsafe { self.fill_bytes_on(Stream::Compute, target, byte, bytes) }
    }

    /// [`Device::fill_bytes`] on either stream.
    ///
    /// # Safety
    ///
    /// `target` is the address of `bytes` bytes of this device's memory that live until it is done.
    ///
    /// # Errors
    ///
    /// What the driver says.
    pub unsafe fn fill_bytes_on(
        &self,
        stream: Stream,
        target: u64,
        byte: u8,
        bytes: usize,
    ) -> Result<(), CudaError> {
        if bytes == 0 {
            return Ok(());
        }
        self.make_current()?;
        let stream = self.stream(stream);
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
        copy: CopyHere<'_>,
    ) -> Result<(), CudaError> {
        self.wait(driver, slot)?;
        // SAFETY: a slot holds at least a chunk, and the copy that filled it is done.
        copy(unsafe { std::slice::from_raw_parts(self.at(slot, 0), target.len()) }, target);
        Ok(())
    }
}
