//! Streams and events. Work is done when it is submitted, so both are always ready.

use std::ffi::{c_uint, c_void};
use std::sync::Mutex;
use std::time::Instant;

use super::functions::{functions, put};
use super::state::{Emulator, lock};
use super::status::{Failure, Status};

/// A stream: what is submitted to it is done one after another.
pub struct Stream {
    /// The device's number.
    pub device: usize,
    /// Held while work of the stream is done, which may be submitted by any thread.
    pub order: Mutex<()>,
}

impl Stream {
    /// A stream of a device.
    pub fn new(device: usize) -> Stream {
        Stream { device, order: Mutex::new(()) }
    }
}

/// A point in the work of a stream.
pub struct Event {
    recorded: Mutex<Option<Instant>>,
    timed: bool,
}

/// `CU_EVENT_DISABLE_TIMING`.
const DISABLE_TIMING: c_uint = 2;

fn elapsed(milliseconds: *mut f32, start: *mut c_void, end: *mut c_void) -> Result<(), Failure> {
    let emulator = Emulator::get()?;
    let (start, end) = (emulator.events.get(start)?, emulator.events.get(end)?);
    if !start.timed || !end.timed {
        return Err(Failure::new(Status::INVALID_HANDLE, "an event made without timing"));
    }
    let (Some(from), Some(to)) = (*lock(&start.recorded), *lock(&end.recorded)) else {
        return Err(Failure::new(Status::INVALID_HANDLE, "an event that wasn't recorded"));
    };
    let seconds = match to.checked_duration_since(from) {
        Some(after) => after.as_secs_f64(),
        None => -from.duration_since(to).as_secs_f64(),
    };
    // SAFETY: the pointer of the caller of the function of the driver.
    unsafe { put(milliseconds, (seconds * 1e3) as f32) }
}

functions! {
    /// Makes a stream of the current device.
    fn cuStreamCreate(target: *mut *mut c_void, flags: c_uint) {
        let emulator = Emulator::get()?;
        let (device, _) = emulator.current()?;
        if flags > 1 {
            return Err(Failure::new(Status::INVALID_VALUE, format!("flags {flags}")));
        }
        // SAFETY: the caller's pointer.
        unsafe { put(target, emulator.streams.insert(Stream::new(device))) }
    }

    /// Destroys a stream.
    fn cuStreamDestroy_v2(stream: *mut c_void) {
        Emulator::get()?.streams.remove(stream).map(|_| ())
    }

    /// Waits for a stream's work.
    fn cuStreamSynchronize(stream: *mut c_void) {
        let stream = Emulator::get()?.stream(stream)?;
        drop(lock(&stream.order));
        Ok(())
    }

    /// Whether a stream's work is done.
    fn cuStreamQuery(stream: *mut c_void) {
        let stream = Emulator::get()?.stream(stream)?;
        if stream.order.try_lock().is_err() {
            return Err(Failure::new(Status::NOT_READY, "the stream is at work"));
        }
        Ok(())
    }

    /// Lets a stream wait for an event.
    fn cuStreamWaitEvent(stream: *mut c_void, event: *mut c_void, flags: c_uint) {
        let emulator = Emulator::get()?;
        emulator.stream(stream)?;
        emulator.events.get(event)?;
        if flags > 1 {
            return Err(Failure::new(Status::INVALID_VALUE, format!("flags {flags}")));
        }
        Ok(())
    }

    /// Makes an event.
    fn cuEventCreate(target: *mut *mut c_void, flags: c_uint) {
        let emulator = Emulator::get()?;
        emulator.current()?;
        let event = Event { recorded: Mutex::new(None), timed: flags & DISABLE_TIMING == 0 };
        // SAFETY: the caller's pointer.
        unsafe { put(target, emulator.events.insert(event)) }
    }

    /// Records an event in a stream.
    fn cuEventRecord(event: *mut c_void, stream: *mut c_void) {
        let emulator = Emulator::get()?;
        let stream = emulator.stream(stream)?;
        let event = emulator.events.get(event)?;
        let _order = lock(&stream.order);
        *lock(&event.recorded) = Some(Instant::now());
        Ok(())
    }

    /// Waits for an event.
    fn cuEventSynchronize(event: *mut c_void) {
        Emulator::get()?.events.get(event).map(|_| ())
    }

    /// Whether an event happened.
    fn cuEventQuery(event: *mut c_void) {
        Emulator::get()?.events.get(event).map(|_| ())
    }

    /// Milliseconds between two events.
    fn cuEventElapsedTime(milliseconds: *mut f32, start: *mut c_void, end: *mut c_void) {
        elapsed(milliseconds, start, end)
    }

    /// As `cuEventElapsedTime`.
    fn cuEventElapsedTime_v2(milliseconds: *mut f32, start: *mut c_void, end: *mut c_void) {
        elapsed(milliseconds, start, end)
    }

    /// Destroys an event.
    fn cuEventDestroy_v2(event: *mut c_void) {
        Emulator::get()?.events.remove(event).map(|_| ())
    }
}
