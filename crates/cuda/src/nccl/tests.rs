//! Communicators over the fake library.

use super::fake::{library, symbol};
use super::sys::*;
use super::*;
use crate::Device;
use crate::fake::Fake;
use crate::sys::CUDA_ERROR_LAUNCH_FAILED;
use std::time::Duration;
use tensor_layout::DType;

/// Never waited for: what the tests wait for is done after some questions.
const LONG: Duration = Duration::from_secs(600);
const AT_ONCE: Duration = Duration::ZERO;

fn open() -> (&'static Fake, Arc<Nccl>, Arc<Device>) {
    let fake = Fake::new();
    // SAFETY: the fake's functions have the header's signatures.
    let nccl = unsafe { Nccl::with_symbols(&symbol) }.unwrap();
    (fake, nccl, fake.device())
}

fn join(deadline: Duration) -> (&'static Fake, Communicator) {
    let (fake, nccl, device) = open();
    let id = nccl.unique_id().unwrap();
    let communicator = Communicator::join(&nccl, &device, &id, 1, 4, deadline).unwrap();
    take_calls();
    (fake, communicator)
}

fn take_calls() -> Vec<String> {
    library(|library| std::mem::take(&mut library.calls))
}

fn answer(function: &'static str, status: Status) {
    library(|library| library.answer(function, status));
}

fn states(states: impl IntoIterator<Item = Status>) {
    library(|library| library.states.extend(states));
}

#[test]
fn ranks_join_and_leave_together() {
    let (_, nccl, device) = open();
    assert_eq!((nccl.version(), nccl.path()), ((2, 30, 7), None));
    let id = nccl.unique_id().unwrap();
    answer("ncclCommInitRankConfig", NCCL_IN_PROGRESS);
    states([NCCL_IN_PROGRESS; 100]);
    let communicator = Communicator::join(&nccl, &device, &id, 1, 4, LONG).unwrap();
    assert_eq!(library(|library| library.states.len()), 0, "asked until it was done");
    assert_eq!((communicator.rank(), communicator.size()), (1, 4));
    answer("ncclCommFinalize", NCCL_IN_PROGRESS);
    states([NCCL_SUCCESS, NCCL_IN_PROGRESS, NCCL_IN_PROGRESS]);
    communicator.close().unwrap();
    let calls = [
        "ncclGetUniqueId",
        "ncclCommInitRankConfig 1 of 4 by 7",
        "ncclCommFinalize 1",
        "ncclCommDestroy 1",
    ];
    assert_eq!(take_calls(), calls);
}

#[test]
fn collectives_are_passed_on_as_they_are() {
    let (_, communicator) = join(LONG);
    // SAFETY: the fake only notes it.
    unsafe {
        communicator.all_gather(1, 2, 3, DType::BFloat16).unwrap();
        communicator.all_reduce(1, 2, 3, DType::Float32, Reduction::Sum).unwrap();
        communicator.all_reduce(1, 2, 3, DType::Int64, Reduction::Max).unwrap();
        communicator.reduce_scatter(1, 2, 3, DType::Float16, Reduction::Min).unwrap();
        communicator.broadcast(1, 2, 3, DType::UInt8, 3).unwrap();
        let mut group = communicator.group().unwrap();
        group.send(5, 6, DType::Int8, 0).unwrap();
        group.receive(7, 0, DType::Int32, 2).unwrap();
        group.end().unwrap();
    }
    let calls = [
        "ncclAllGather 1 to 2 x3 of 9",
        "ncclAllReduce 1 to 2 x3 of 7 by 0",
        "ncclAllReduce 1 to 2 x3 of 4 by 2",
        "ncclReduceScatter 1 to 2 x3 of 6 by 3",
        "ncclBroadcast 1 to 2 x3 of 1 from 3",
        "ncclGroupStart",
        "ncclSend 5 x6 of 0 to 0",
        "ncclRecv 7 x0 of 2 from 2",
        "ncclGroupEnd",
    ];
    assert_eq!(take_calls(), calls);
}

#[test]
fn a_group_in_progress_is_waited_for_at_its_end() {
    let (_, communicator) = join(LONG);
    answer("ncclSend", NCCL_IN_PROGRESS);
    answer("ncclGroupEnd", NCCL_IN_PROGRESS);
    states([NCCL_IN_PROGRESS; 3]);
    let mut group = communicator.group().unwrap();
    // SAFETY: the fake only notes it.
    unsafe { group.send(5, 6, DType::Float32, 0) }.unwrap();
    assert_eq!(library(|library| library.states.len()), 3, "nothing happens before the end");
    group.end().unwrap();
    assert_eq!(library(|library| library.states.len()), 0);
}

#[test]
fn a_group_that_is_left_ends_the_communicator() {
    let (_, communicator) = join(LONG);
    let mut group = communicator.group().unwrap();
    // SAFETY: the fake only notes it.
    let error = unsafe { group.send(5, 6, DType::Float32, 4) }.unwrap_err();
    assert_eq!((error.code, error.function), (NcclErrorCode::Usage, "ncclSend"));
    assert_eq!(error.message, "no rank 4 among 4");
    drop(group);
    assert_eq!(take_calls(), ["ncclGroupStart", "ncclGroupEnd", "ncclCommAbort 1"]);
    let error = communicator.group().err().unwrap();
    assert_eq!(error.message, "rank 1 of 4: a group was left before its end");
}

#[test]
fn ranks_that_do_not_come_are_told_and_the_communicator_is_aborted() {
    let (_, nccl, device) = open();
    answer("ncclCommInitRankConfig", NCCL_IN_PROGRESS);
    states([NCCL_IN_PROGRESS]);
    let id = UniqueId([0; 128]);
    let error = Communicator::join(&nccl, &device, &id, 0, 2, AT_ONCE).err().unwrap();
    assert_eq!((error.code, error.name.as_str()), (NcclErrorCode::Deadline, "ncclInProgress"));
    let start = "rank 0 of 2: ncclCommInitRankConfig: not done within 0.0 s";
    assert!(error.message.starts_with(start), "{error}");
    assert_eq!(take_calls().last().unwrap(), "ncclCommAbort 1");

    // One that NCCL doesn't even begin.
    library(|library| library.nothing = true);
    answer("ncclCommInitRankConfig", NCCL_IN_PROGRESS);
    let error = Communicator::join(&nccl, &device, &id, 0, 2, AT_ONCE).err().unwrap();
    assert_eq!(error.code, NcclErrorCode::Deadline);
    let error = Communicator::join(&nccl, &device, &id, 0, 2, AT_ONCE).err().unwrap();
    assert_eq!(
        (error.code, error.message.as_str()),
        (NcclErrorCode::Failed, "rank 0 of 2: NCCL gave no communicator")
    );
}

#[test]
fn a_collective_that_fails_ends_the_communicator_with_that_error() {
    let kinds = [
        (NCCL_REMOTE_ERROR, NcclErrorCode::Remote, "ncclRemoteError"),
        (NCCL_SYSTEM_ERROR, NcclErrorCode::System, "ncclSystemError"),
        (NCCL_UNHANDLED_CUDA_ERROR, NcclErrorCode::Cuda, "ncclUnhandledCudaError"),
        (NCCL_INVALID_USAGE, NcclErrorCode::Usage, "ncclInvalidUsage"),
        (NCCL_INTERNAL_ERROR, NcclErrorCode::Failed, "ncclInternalError"),
        (NCCL_TIMEOUT, NcclErrorCode::Deadline, "ncclTimeout"),
        (99, NcclErrorCode::Failed, "NCCL result 99"),
    ];
    for (status, code, name) in kinds {
        for later in [false, true] {
            let (_, communicator) = join(LONG);
            if later {
                answer("ncclAllGather", NCCL_IN_PROGRESS);
                states([NCCL_IN_PROGRESS, status]);
            } else {
                answer("ncclAllGather", status);
            }
            // SAFETY: the fake only notes it.
            let error = unsafe { communicator.all_gather(1, 2, 3, DType::Float32) }.unwrap_err();
            assert_eq!((error.code, error.name.as_str()), (code, name));
            assert_eq!(error.function, "ncclAllGather");
            assert_eq!(error.message, "rank 1 of 4: text of the kind: the last error");
            assert_eq!(take_calls().last().unwrap(), "ncclCommAbort 1");
            // SAFETY: refused.
            let again = unsafe { communicator.all_gather(1, 2, 3, DType::Float32) }.unwrap_err();
            assert_eq!(again, error);
            assert_eq!(communicator.close().unwrap_err(), error);
            assert_eq!(take_calls(), Vec::<String>::new(), "aborted once");
        }
    }
}

#[test]
fn what_is_called_off_ends_a_call_that_waits() {
    let (_, communicator) = join(LONG);
    answer("ncclAllGather", NCCL_IN_PROGRESS);
    // Without end: the states that are asked for below are these.
    states([NCCL_IN_PROGRESS; 1000]);
    communicator.called_off.store(true, std::sync::atomic::Ordering::Release);
    // SAFETY: the fake only notes it.
    let error = unsafe { communicator.all_gather(1, 2, 3, DType::Float32) }.unwrap_err();
    assert_eq!((error.code, error.function), (NcclErrorCode::CalledOff, "ncclAllGather"));
    assert_eq!(take_calls().last().unwrap(), "ncclCommAbort 1");
    communicator.call_off();
    assert_eq!(take_calls(), Vec::<String>::new(), "aborted once");
}

#[test]
fn a_communicator_that_is_called_off_refuses_later_calls() {
    let (_, communicator) = join(LONG);
    communicator.call_off();
    assert_eq!(take_calls(), ["ncclCommAbort 1"]);
    let error = communicator.group().err().unwrap();
    assert_eq!(error.code, NcclErrorCode::CalledOff);
    assert!(error.message.starts_with("rank 1 of 4: called off"), "{error}");
    drop(communicator);
    assert_eq!(take_calls(), Vec::<String>::new());
}

#[test]
fn waiting_ends_when_the_device_is_done() {
    let (fake, communicator) = join(LONG);
    communicator.wait().unwrap();
    let device = communicator.device.clone();
    let memory = device.allocate(4).unwrap();
    // SAFETY: within the block.
    unsafe { device.fill_bytes(memory.address(), 1, 4) }.unwrap();
    fake.fail("cuStreamQuery", CUDA_ERROR_LAUNCH_FAILED);
    let error = communicator.wait().unwrap_err();
    assert_eq!((error.code, error.function), (NcclErrorCode::Cuda, "cuStreamQuery"));
    assert_eq!(error.name, "CUDA_ERROR_LAUNCH_FAILED");
}

#[test]
fn waiting_for_a_rank_that_died_ends_with_its_error_or_the_deadline() {
    for (deadline, state, code) in [
        (LONG, NCCL_REMOTE_ERROR, NcclErrorCode::Remote),
        (AT_ONCE, NCCL_SUCCESS, NcclErrorCode::Deadline),
    ] {
        let (_, communicator) = join(deadline);
        let device = communicator.device.clone();
        let memory = device.allocate(4).unwrap();
        // The fake's device does this only when it is waited for, as if it were stuck.
        // SAFETY: within the block.
        unsafe { device.fill_bytes(memory.address(), 1, 4) }.unwrap();
        states([state]);
        assert_eq!(communicator.wait().unwrap_err().code, code);
        assert_eq!(take_calls(), ["ncclCommAbort 1"]);
    }
}

#[test]
fn splits_are_communicators_of_their_own() {
    let (_, communicator) = join(LONG);
    answer("ncclCommSplit", NCCL_IN_PROGRESS);
    states([NCCL_IN_PROGRESS, NCCL_IN_PROGRESS, NCCL_SUCCESS, NCCL_IN_PROGRESS]);
    let child = communicator.split(Some(3), 5).unwrap().unwrap();
    assert_eq!((child.rank(), child.size()), (1, 2));
    assert_eq!(library(|library| library.states.len()), 0, "parent, then child");
    assert!(communicator.split(None, 0).unwrap().is_none());
    drop(child);
    let calls =
        ["ncclCommSplit 1 color 3 key 5", "ncclCommSplit 1 color -1 key 0", "ncclCommAbort 2"];
    assert_eq!(take_calls(), calls);
    let error = communicator.split(Some(u32::MAX), 0).err().unwrap();
    assert_eq!(error.code, NcclErrorCode::Usage);
    answer("ncclCommSplit", NCCL_REMOTE_ERROR);
    assert_eq!(communicator.split(Some(0), 0).err().unwrap().code, NcclErrorCode::Remote);
}

#[test]
fn ranks_that_are_none_are_refused_before_anything_is_called() {
    let (_, nccl, device) = open();
    let id = UniqueId([0; 128]);
    let error = Communicator::join(&nccl, &device, &id, 2, 2, LONG).err().unwrap();
    assert_eq!((error.code, error.message.as_str()), (NcclErrorCode::Usage, "no rank 2 among 2"));
    let error = Communicator::join(&nccl, &device, &id, 0, 1 << 40, LONG).err().unwrap();
    assert_eq!(error.code, NcclErrorCode::Usage);
    let (_, communicator) = join(LONG);
    // SAFETY: refused.
    let error = unsafe { communicator.broadcast(1, 2, 3, DType::Float32, 4) }.unwrap_err();
    assert_eq!(error.code, NcclErrorCode::Usage);
    assert_eq!(take_calls(), Vec::<String>::new());
}

#[test]
fn a_dropped_communicator_is_aborted() {
    let (_, communicator) = join(LONG);
    drop(communicator);
    assert_eq!(take_calls(), ["ncclCommAbort 1"]);
}

#[test]
fn a_library_that_lacks_functions_is_refused_by_their_names() {
    let hidden = |name: &CStr| symbol(name).filter(|_| name != c"ncclCommSplit");
    // SAFETY: as in `open`.
    let error = unsafe { Nccl::with_symbols(&hidden) }.err().unwrap();
    assert_eq!((error.code, error.function), (NcclErrorCode::NoLibrary, "dlsym"));
    assert_eq!(error.to_string(), "dlsym: NCCL lacks ncclCommSplit: version 2.18 is the oldest");
    answer("ncclGetUniqueId", NCCL_SYSTEM_ERROR);
    let (_, nccl, _) = open();
    let error = nccl.unique_id().unwrap_err();
    assert_eq!(error.to_string(), "ncclGetUniqueId: ncclSystemError: text of the kind");
}

#[test]
fn the_library_opens_where_it_is_installed() {
    match Nccl::open() {
        Ok(nccl) => assert!(nccl.version() >= (2, 18, 0) && nccl.path().is_some()),
        Err(error) => {
            assert_eq!((error.code, error.function), (NcclErrorCode::NoLibrary, "dlopen"));
            assert!(error.message.contains("libnccl.so.2"), "{error}");
        }
    }
}
