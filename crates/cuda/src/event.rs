//! Points in the device's work, to order it and to time it.

use crate::device::{Device, Stream};
use crate::driver::call;
use crate::error::CudaError;
use crate::sys::{self, EventHandle};
use std::ffi::c_uint;
use std::sync::Arc;

/// A point in a stream, passed once everything queued there before it is done.
pub struct Event {
    device: Arc<Device>,
    handle: EventHandle,
}

impl Device {
    /// The point that a stream's queue has come to. A thread that waits for it sleeps.
    ///
    /// # Errors
    ///
    /// What the driver says.
    pub fn record(self: &Arc<Self>, stream: Stream) -> Result<Event, CudaError> {
        // Without a clock to read an event costs the device next to nothing.
        self.record_as(stream, sys::CU_EVENT_DISABLE_TIMING | sys::CU_EVENT_BLOCKING_SYNC)
    }

    /// [`Device::record`] with the time at which the point is passed.
    ///
    /// # Errors
    ///
    /// What the driver says.
    pub fn record_timed(self: &Arc<Self>, stream: Stream) -> Result<Event, CudaError> {
        self.record_as(stream, sys::CU_EVENT_BLOCKING_SYNC)
    }

    fn record_as(self: &Arc<Self>, stream: Stream, flags: c_uint) -> Result<Event, CudaError> {
        self.make_current()?;
        let mut handle = EventHandle::NULL;
        // SAFETY: writes one handle; the context is current.
        unsafe { call!(self.driver(), cuEventCreate(&mut handle, flags)) }?;
        let event = Event { device: self.clone(), handle };
        // SAFETY: a live event and the device's stream.
        unsafe { call!(self.driver(), cuEventRecord(handle, self.stream(stream))) }?;
        Ok(event)
    }

    /// Has what is queued on `stream` from now on wait for `event`; doesn't wait itself.
    ///
    /// # Errors
    ///
    /// What the driver says.
    pub fn wait(&self, stream: Stream, event: &Event) -> Result<(), CudaError> {
        self.make_current()?;
        // SAFETY: a live event and the device's stream; the driver keeps what it needs of the event.
        unsafe { call!(self.driver(), cuStreamWaitEvent(self.stream(stream), event.handle, 0)) }
    }
}

impl Event {
    /// Waits until the point is passed.
    ///
    /// # Errors
    ///
    /// Where work before it failed.
    pub fn synchronize(&self) -> Result<(), CudaError> {
        self.device.make_current()?;
        // SAFETY: a live event.
        unsafe { call!(self.device.driver(), cuEventSynchronize(self.handle)) }
    }

    /// Milliseconds of the device's own clock between two points of [`Device::record_timed`], both
    /// passed already.
    ///
    /// # Errors
    ///
    /// `CUDA_ERROR_NOT_READY` where one isn't, otherwise what the driver says.
    pub fn milliseconds_since(&self, earlier: &Event) -> Result<f32, CudaError> {
        self.device.make_current()?;
        let mut milliseconds = 0.0;
        // SAFETY: live events; writes one number.
        unsafe {
            call!(
                self.device.driver(),
                cuEventElapsedTime(&mut milliseconds, earlier.handle, self.handle)
            )
        }?;
        Ok(milliseconds)
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // A failure is one of earlier work, which the next call that waits tells.
        let _ = self.device.make_current();
        // SAFETY: made in `record`, destroyed once; the driver lets queued waits be.
        let _ = unsafe { call!(self.device.driver(), cuEventDestroy_v2(self.handle)) };
    }
}
