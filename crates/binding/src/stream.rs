//! The process's CPU stream: threads, instruction set, cancelling, tracing, counters.

use crate::error;
use napi::bindgen_prelude::*;
use napi_derive::napi;
use std::sync::OnceLock;
use tensor_runtime::{CancelToken, InstructionSet, MemoryCounters, Stream, TraceEvent};

/// The CPU is one per process, and so is the stream that computes on it.
pub fn cpu() -> &'static Stream {
    static STREAM: OnceLock<Stream> = OnceLock::new();
    STREAM.get_or_init(|| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Stream::new(threads, InstructionSet::detect())
    })
}

/// Threads that share an operation.
#[napi(catch_unwind)]
pub fn threads() -> u32 {
    cpu().threads() as u32
}

/// Sets the threads that share an operation, from the next operation on.
#[napi(catch_unwind)]
pub fn set_threads(threads: u32) -> Result<()> {
    if !(1..=1024).contains(&threads) {
        return Err(error::argument("setThreads", "threads", "from 1 to 1024", threads));
    }
    cpu().set_threads(threads as usize);
    Ok(())
}

/// The widest instruction set in use.
#[napi(catch_unwind)]
pub fn instruction_set() -> &'static str {
    cpu().instruction_set().name()
}

/// The instruction sets that kernels are written for and this machine has, narrowest first.
#[napi(catch_unwind)]
pub fn available_instruction_sets() -> Vec<&'static str> {
    InstructionSet::available().into_iter().map(InstructionSet::name).collect()
}

/// Sets the widest instruction set that operations may use.
#[napi(catch_unwind)]
pub fn set_instruction_set(name: String) -> Result<()> {
    let set = InstructionSet::from_name(&name).ok_or_else(|| {
        let known: Vec<_> = InstructionSet::ALL.iter().map(|set| set.name()).collect();
        error::argument(
            "setInstructionSet",
            "instructionSet",
            format!("one of {}", known.join(", ")),
            &name,
        )
    })?;
    cpu().set_instruction_set(set).map_err(error::from_runtime)
}

/// Resolves when everything submitted so far has run.
#[napi(catch_unwind, ts_return_type = "Promise<void>")]
pub fn synchronize(env: &Env) -> Result<Object<'_>> {
    let (deferred, promise) = env.create_deferred::<(), _>()?;
    cpu().after(move || deferred.resolve(|_| Ok(())));
    Ok(promise)
}

/// Waits, blocking the JavaScript thread, until everything submitted so far has run.
#[napi(catch_unwind)]
pub fn synchronize_blocking() {
    cpu().synchronize();
}

/// What tensors hold, over the whole process.
#[napi(object, object_from_js = false)]
pub struct NativeMemory {
    /// Storages that some tensor still views.
    pub live_storages: f64,
    /// Bytes allocated; mapped files don't count.
    pub live_bytes: f64,
    /// The most that `liveBytes` has been since `resetPeakMemory`.
    pub peak_bytes: f64,
    /// Bytes allocated on CUDA devices.
    pub live_device_bytes: f64,
    /// The most that `liveDeviceBytes` has been since `resetPeakMemory`.
    pub peak_device_bytes: f64,
}

/// The memory counters now.
#[napi(catch_unwind)]
pub fn memory() -> NativeMemory {
    let counters = MemoryCounters::now();
    NativeMemory {
        live_storages: counters.live_storages as f64,
        live_bytes: counters.live_bytes as f64,
        peak_bytes: counters.peak_bytes as f64,
        live_device_bytes: counters.live_device_bytes as f64,
        peak_device_bytes: counters.peak_device_bytes as f64,
    }
}

/// Starts the peak anew from what is live.
#[napi(catch_unwind)]
pub fn reset_peak_memory() {
    MemoryCounters::reset_peak();
}

/// A flag that operations are submitted under.
#[napi]
pub struct NativeCancelToken {
    token: CancelToken,
}

#[napi]
impl NativeCancelToken {
    #[napi(constructor)]
    pub fn new() -> Self {
        NativeCancelToken { token: CancelToken::new() }
    }

    /// Skips what was submitted under the token and has not run, and cuts short what runs.
    #[napi(catch_unwind)]
    pub fn cancel(&self) {
        cpu().cancel(&self.token);
    }
}

impl Default for NativeCancelToken {
    fn default() -> Self {
        Self::new()
    }
}

/// Operations submitted from now on belong to `token`.
#[napi(catch_unwind)]
pub fn set_cancel_token(token: Option<&NativeCancelToken>) {
    cpu().set_cancel_token(token.map(|token| token.token.clone()));
}

/// An operation that ran.
#[napi(object, object_from_js = false)]
pub struct NativeTraceEvent {
    /// The operation.
    pub operation: String,
    /// Microseconds from the stream's start.
    pub start: f64,
    /// Microseconds it took.
    pub duration: f64,
    /// The group of a collective.
    pub group: Option<String>,
    /// What a collective sent to other members.
    pub bytes_sent: Option<f64>,
    /// What a collective got from other members.
    pub bytes_received: Option<f64>,
}

impl From<TraceEvent> for NativeTraceEvent {
    fn from(event: TraceEvent) -> Self {
        let TraceEvent { operation, start, duration, traffic } = event;
        let (bytes_sent, bytes_received) = traffic
            .as_ref()
            .map(|traffic| (traffic.bytes_sent as f64, traffic.bytes_received as f64))
            .unzip();
        let group = traffic.map(|traffic| traffic.group);
        let operation = operation.to_owned();
        NativeTraceEvent { operation, start, duration, group, bytes_sent, bytes_received }
    }
}

/// Starts to record operations.
#[napi(catch_unwind)]
pub fn start_trace() {
    cpu().start_trace();
}

/// Ends the recording and returns what ran.
#[napi(catch_unwind)]
pub fn take_trace() -> Vec<NativeTraceEvent> {
    cpu().take_trace().into_iter().map(NativeTraceEvent::from).collect()
}

/// Returns what ran since the last call; the recording goes on.
#[napi(catch_unwind)]
pub fn drain_trace() -> Vec<NativeTraceEvent> {
    cpu().drain_trace().into_iter().map(NativeTraceEvent::from).collect()
}

/// Microseconds from the stream's start until now.
#[napi(catch_unwind)]
pub fn trace_clock() -> f64 {
    cpu().clock()
}
