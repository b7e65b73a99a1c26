//! An emulated device whose driver notes the calls that order its work.

use std::ffi::{CStr, c_int, c_uint, c_void};
use std::mem::transmute;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tensor_runtime::{CudaDriver, InstructionSet, Stream};

/// A call that orders work; streams and events by their handles.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Call {
    Launch {
        stream: usize,
    },
    /// To the device.
    Copy {
        stream: usize,
    },
    /// From the device.
    Read {
        stream: usize,
    },
    Record {
        event: usize,
        stream: usize,
    },
    Wait {
        stream: usize,
        event: usize,
    },
    /// The caller waits.
    EventSynchronize {
        event: usize,
    },
    /// The caller waits.
    StreamSynchronize {
        stream: usize,
    },
}

/// Those of the whole process.
static CALLS: Mutex<Vec<Call>> = Mutex::new(Vec::new());

fn note(call: Call) {
    CALLS.lock().unwrap().push(call);
}

type Handle = *mut c_void;
type Launch = unsafe extern "C" fn(
    Handle,
    c_uint,
    c_uint,
    c_uint,
    c_uint,
    c_uint,
    c_uint,
    c_uint,
    Handle,
    *mut Handle,
    *mut Handle,
) -> c_int;
type Copy = unsafe extern "C" fn(u64, *const c_void, usize, Handle) -> c_int;
type Read = unsafe extern "C" fn(*mut c_void, u64, usize, Handle) -> c_int;
type Record = unsafe extern "C" fn(Handle, Handle) -> c_int;
type Wait = unsafe extern "C" fn(Handle, Handle, c_uint) -> c_int;
type Synchronize = unsafe extern "C" fn(Handle) -> c_int;

fn emulated(name: &CStr) -> *const c_void {
    cuda_emulator::symbol(name).expect("the emulator has it")
}

unsafe extern "C" fn launch(
    function: Handle,
    grid_x: c_uint,
    grid_y: c_uint,
    grid_z: c_uint,
    block_x: c_uint,
    block_y: c_uint,
    block_z: c_uint,
    shared: c_uint,
    stream: Handle,
    parameters: *mut Handle,
    extra: *mut Handle,
) -> c_int {
    note(Call::Launch { stream: stream as usize });
    // SAFETY: the emulator's function of this signature, with the caller's own arguments.
    unsafe {
        transmute::<*const c_void, Launch>(emulated(c"cuLaunchKernel"))(
            function, grid_x, grid_y, grid_z, block_x, block_y, block_z, shared, stream,
            parameters, extra,
        )
    }
}

unsafe extern "C" fn copy(
    target: u64,
    source: *const c_void,
    bytes: usize,
    stream: Handle,
) -> c_int {
    note(Call::Copy { stream: stream as usize });
    // SAFETY: as above.
    unsafe {
        transmute::<*const c_void, Copy>(emulated(c"cuMemcpyHtoDAsync_v2"))(
            target, source, bytes, stream,
        )
    }
}

unsafe extern "C" fn read(target: *mut c_void, source: u64, bytes: usize, stream: Handle) -> c_int {
    note(Call::Read { stream: stream as usize });
    // SAFETY: as above.
    unsafe {
        transmute::<*const c_void, Read>(emulated(c"cuMemcpyDtoHAsync_v2"))(
            target, source, bytes, stream,
        )
    }
}

unsafe extern "C" fn record(event: Handle, stream: Handle) -> c_int {
    note(Call::Record { event: event as usize, stream: stream as usize });
    // SAFETY: as above.
    unsafe { transmute::<*const c_void, Record>(emulated(c"cuEventRecord"))(event, stream) }
}

unsafe extern "C" fn wait(stream: Handle, event: Handle, flags: c_uint) -> c_int {
    note(Call::Wait { stream: stream as usize, event: event as usize });
    // SAFETY: as above.
    unsafe {
        transmute::<*const c_void, Wait>(emulated(c"cuStreamWaitEvent"))(stream, event, flags)
    }
}

unsafe extern "C" fn event_synchronize(event: Handle) -> c_int {
    note(Call::EventSynchronize { event: event as usize });
    // SAFETY: as above.
    unsafe { transmute::<*const c_void, Synchronize>(emulated(c"cuEventSynchronize"))(event) }
}

unsafe extern "C" fn stream_synchronize(stream: Handle) -> c_int {
    note(Call::StreamSynchronize { stream: stream as usize });
    // SAFETY: as above.
    unsafe { transmute::<*const c_void, Synchronize>(emulated(c"cuStreamSynchronize"))(stream) }
}

fn symbol(name: &CStr) -> Option<*const c_void> {
    match name.to_bytes() {
        b"cuLaunchKernel" => Some(launch as *const c_void),
        b"cuMemcpyHtoDAsync_v2" => Some(copy as *const c_void),
        b"cuMemcpyDtoHAsync_v2" => Some(read as *const c_void),
        b"cuEventRecord" => Some(record as *const c_void),
        b"cuStreamWaitEvent" => Some(wait as *const c_void),
        b"cuEventSynchronize" => Some(event_synchronize as *const c_void),
        b"cuStreamSynchronize" => Some(stream_synchronize as *const c_void),
        _ => cuda_emulator::symbol(name),
    }
}

/// The one test at a time that notes calls; those of others would be among them.
pub struct Noted(#[expect(dead_code, reason = "held")] MutexGuard<'static, ()>);

impl Noted {
    /// Waits for the test before.
    pub fn new() -> Noted {
        static TURN: Mutex<()> = Mutex::new(());
        Noted(TURN.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A stream with the device.
    pub fn stream(&self) -> Stream {
        let stream = Stream::new(1, InstructionSet::detect());
        // SAFETY: the emulator's functions are the driver's, by name and signature, and so are those above.
        let driver = unsafe { CudaDriver::with_symbols(&symbol) };
        stream
            .set_cuda_driver(driver.expect("the emulator has all that the driver layer asks for"));
        stream
    }

    /// What was called since [`Noted::forget`].
    pub fn calls(&self) -> Vec<Call> {
        CALLS.lock().unwrap().clone()
    }

    /// Begins anew.
    pub fn forget(&self) {
        CALLS.lock().unwrap().clear();
    }
}

/// Where the calls are that `is` holds for.
pub fn places(calls: &[Call], is: impl Fn(&Call) -> bool) -> Vec<usize> {
    calls.iter().enumerate().filter(|(_, call)| is(call)).map(|(place, _)| place).collect()
}

/// Where the event of a wait was recorded last before it.
pub fn recorded(calls: &[Call], waiting: usize) -> (usize, usize) {
    let Call::Wait { event: awaited, .. } = calls[waiting] else { panic!("it is a wait") };
    let place = calls[..waiting]
        .iter()
        .rposition(|call| matches!(call, Call::Record { event, .. } if *event == awaited));
    let place = place.expect("an event is recorded before it is waited for");
    let Call::Record { stream, .. } = calls[place] else { unreachable!("found as a record") };
    (place, stream)
}
