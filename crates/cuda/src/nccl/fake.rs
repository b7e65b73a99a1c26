//! NCCL for tests: notes what it is asked and answers as a test tells it to.

#![allow(non_snake_case)] // NVIDIA's names.

use super::sys::*;
use crate::sys::StreamHandle;
use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::ffi::{CStr, c_char, c_int, c_void};

thread_local! {
    static LIBRARY: RefCell<FakeLibrary> = RefCell::default();
}

#[derive(Default)]
pub(super) struct FakeLibrary {
    /// What was called, with its arguments.
    pub calls: Vec<String>,
    /// What the next calls of a function answer.
    pub answers: HashMap<&'static str, VecDeque<Status>>,
    /// What communicators say when they are asked how they are, success after that.
    pub states: VecDeque<Status>,
    /// Whether a new communicator is left out.
    pub nothing: bool,
}

impl FakeLibrary {
    /// Has the next call of `function` answer `status`.
    pub fn answer(&mut self, function: &'static str, status: Status) {
        self.answers.entry(function).or_default().push_back(status);
    }
}

/// Looks at the thread's library, or changes it.
pub(super) fn library<R>(with: impl FnOnce(&mut FakeLibrary) -> R) -> R {
    LIBRARY.with_borrow_mut(with)
}

/// Notes a call and answers it.
fn note(function: &'static str, arguments: String) -> Status {
    library(|library| {
        library.calls.push(format!("{function}{arguments}"));
        library.answers.get_mut(function).and_then(VecDeque::pop_front).unwrap_or(NCCL_SUCCESS)
    })
}

fn number(handle: CommunicatorHandle) -> usize {
    handle.addr()
}

pub(super) fn symbol(name: &CStr) -> Option<*const c_void> {
    Some(match name.to_bytes() {
        b"ncclGetVersion" => ncclGetVersion as *const c_void,
        b"ncclGetErrorString" => ncclGetErrorString as *const c_void,
        b"ncclGetLastError" => ncclGetLastError as *const c_void,
        b"ncclGetUniqueId" => ncclGetUniqueId as *const c_void,
        b"ncclCommInitRankConfig" => ncclCommInitRankConfig as *const c_void,
        b"ncclCommSplit" => ncclCommSplit as *const c_void,
        b"ncclCommUserRank" => ncclCommUserRank as *const c_void,
        b"ncclCommCount" => ncclCommCount as *const c_void,
        b"ncclCommGetAsyncError" => ncclCommGetAsyncError as *const c_void,
        b"ncclCommAbort" => ncclCommAbort as *const c_void,
        b"ncclCommFinalize" => ncclCommFinalize as *const c_void,
        b"ncclCommDestroy" => ncclCommDestroy as *const c_void,
        b"ncclGroupStart" => ncclGroupStart as *const c_void,
        b"ncclGroupEnd" => ncclGroupEnd as *const c_void,
        b"ncclSend" => ncclSend as *const c_void,
        b"ncclRecv" => ncclRecv as *const c_void,
        b"ncclAllGather" => ncclAllGather as *const c_void,
        b"ncclAllReduce" => ncclAllReduce as *const c_void,
        b"ncclReduceScatter" => ncclReduceScatter as *const c_void,
        b"ncclBroadcast" => ncclBroadcast as *const c_void,
        _ => return None,
    })
}

extern "C" fn ncclGetVersion(version: *mut c_int) -> Status {
    // SAFETY: the caller's place.
    unsafe { version.write(23007) };
    NCCL_SUCCESS
}

extern "C" fn ncclGetErrorString(_status: Status) -> *const c_char {
    c"text of the kind".as_ptr()
}

extern "C" fn ncclGetLastError(handle: CommunicatorHandle) -> *const c_char {
    if handle.is_null() { std::ptr::null() } else { c"the last error\n".as_ptr() }
}

extern "C" fn ncclGetUniqueId(id: *mut UniqueIdBytes) -> Status {
    // SAFETY: the caller's place.
    unsafe { id.write(UniqueIdBytes([7; 128])) };
    note("ncclGetUniqueId", String::new())
}

/// Writes the new communicator, of a number, as NCCL does at once.
fn make(place: *mut CommunicatorHandle, address: usize) {
    if !library(|library| library.nothing) {
        // SAFETY: the caller's place.
        unsafe { place.write(std::ptr::without_provenance_mut(address)) };
    }
}

fn check(config: *mut Config) {
    // SAFETY: the caller's configuration.
    let config = unsafe { &*config };
    assert_eq!((config.size, config.magic, config.version), (48, 0xcafe_beef, 21800));
    assert_eq!((config.blocking, config.min_ctas), (0, c_int::MIN));
}

extern "C" fn ncclCommInitRankConfig(
    place: *mut CommunicatorHandle,
    ranks: c_int,
    id: UniqueIdBytes,
    rank: c_int,
    config: *mut Config,
) -> Status {
    check(config);
    make(place, 1);
    note("ncclCommInitRankConfig", format!(" {rank} of {ranks} by {}", id.0[127]))
}

extern "C" fn ncclCommSplit(
    parent: CommunicatorHandle,
    color: c_int,
    key: c_int,
    place: *mut CommunicatorHandle,
    config: *mut Config,
) -> Status {
    check(config);
    if color != NCCL_SPLIT_NOCOLOR {
        make(place, 2);
    }
    note("ncclCommSplit", format!(" {} color {color} key {key}", number(parent)))
}

extern "C" fn ncclCommUserRank(_handle: CommunicatorHandle, rank: *mut c_int) -> Status {
    // SAFETY: the caller's place.
    unsafe { rank.write(1) };
    NCCL_SUCCESS
}

extern "C" fn ncclCommCount(_handle: CommunicatorHandle, count: *mut c_int) -> Status {
    // SAFETY: the caller's place.
    unsafe { count.write(2) };
    NCCL_SUCCESS
}

extern "C" fn ncclCommGetAsyncError(handle: CommunicatorHandle, error: *mut Status) -> Status {
    assert!(!handle.is_null());
    let state = library(|library| library.states.pop_front()).unwrap_or(NCCL_SUCCESS);
    // SAFETY: the caller's place.
    unsafe { error.write(state) };
    NCCL_SUCCESS
}

extern "C" fn ncclCommAbort(handle: CommunicatorHandle) -> Status {
    note("ncclCommAbort", format!(" {}", number(handle)))
}

extern "C" fn ncclCommFinalize(handle: CommunicatorHandle) -> Status {
    note("ncclCommFinalize", format!(" {}", number(handle)))
}

extern "C" fn ncclCommDestroy(handle: CommunicatorHandle) -> Status {
    note("ncclCommDestroy", format!(" {}", number(handle)))
}

extern "C" fn ncclGroupStart() -> Status {
    note("ncclGroupStart", String::new())
}

extern "C" fn ncclGroupEnd() -> Status {
    note("ncclGroupEnd", String::new())
}

extern "C" fn ncclSend(
    source: u64,
    count: usize,
    kind: c_int,
    peer: c_int,
    _handle: CommunicatorHandle,
    stream: StreamHandle,
) -> Status {
    assert_eq!(stream.0.addr(), 1, "the compute stream");
    note("ncclSend", format!(" {source} x{count} of {kind} to {peer}"))
}

extern "C" fn ncclRecv(
    target: u64,
    count: usize,
    kind: c_int,
    peer: c_int,
    _handle: CommunicatorHandle,
    stream: StreamHandle,
) -> Status {
    assert_eq!(stream.0.addr(), 1, "the compute stream");
    note("ncclRecv", format!(" {target} x{count} of {kind} from {peer}"))
}

extern "C" fn ncclAllGather(
    source: u64,
    target: u64,
    count: usize,
    kind: c_int,
    _handle: CommunicatorHandle,
    _stream: StreamHandle,
) -> Status {
    note("ncclAllGather", format!(" {source} to {target} x{count} of {kind}"))
}

extern "C" fn ncclAllReduce(
    source: u64,
    target: u64,
    count: usize,
    kind: c_int,
    how: c_int,
    _handle: CommunicatorHandle,
    _stream: StreamHandle,
) -> Status {
    note("ncclAllReduce", format!(" {source} to {target} x{count} of {kind} by {how}"))
}

extern "C" fn ncclReduceScatter(
    source: u64,
    target: u64,
    count: usize,
    kind: c_int,
    how: c_int,
    _handle: CommunicatorHandle,
    _stream: StreamHandle,
) -> Status {
    note("ncclReduceScatter", format!(" {source} to {target} x{count} of {kind} by {how}"))
}

extern "C" fn ncclBroadcast(
    source: u64,
    target: u64,
    count: usize,
    kind: c_int,
    root: c_int,
    _handle: CommunicatorHandle,
    _stream: StreamHandle,
) -> Status {
    note("ncclBroadcast", format!(" {source} to {target} x{count} of {kind} from {root}"))
}
