//! Communicators and groups: the functions, under their names.

#![allow(non_snake_case, reason = "the names that nccl.h gives them")]

use crate::collectives::{
    ncclAllGather, ncclAllReduce, ncclBroadcast, ncclRecv, ncclReduceScatter, ncclSend,
};
use crate::communicator::{Communicator, Transfers};
use crate::status::{Failure, Status, answer, last, remember};
use std::cell::RefCell;
use std::collections::hash_map::RandomState;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

/// The version that it says it is: 2.30.7.
const VERSION: c_int = 23_007;
const NO_COLOR: c_int = -1;

/// `ncclUniqueId`: a meeting's name, with zeros after it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct UniqueId(pub [u8; 128]);

/// The beginning of `ncclConfig_t`.
#[repr(C)]
pub struct Config {
    size: usize,
    magic: c_uint,
    version: c_uint,
    blocking: c_int,
}

/// `ncclComm_t`.
pub type Handle = *const Communicator;

/// What a thread has added to its group, by communicator.
type Group = Vec<(Arc<Communicator>, Transfers)>;

thread_local! {
    /// The group that this thread is adding to.
    static GROUP: RefCell<Option<Group>> = const { RefCell::new(None) };
}

/// The function of that name.
pub fn symbol(name: &CStr) -> Option<*const c_void> {
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

/// Writes a result to the caller's place.
///
/// # Safety
/// The place is null or the caller's.
unsafe fn put<T>(place: *mut T, value: T) -> Result<(), Failure> {
    if place.is_null() {
        return Err(Failure::new(Status::ARGUMENT, "a place for the result is null"));
    }
    // SAFETY: the caller's place.
    unsafe { place.write(value) };
    Ok(())
}

/// The communicator of a handle, which stays the handle's.
///
/// # Safety
/// The handle is null or of a communicator that was neither aborted nor destroyed.
pub unsafe fn communicator(handle: Handle) -> Result<Arc<Communicator>, Failure> {
    if handle.is_null() {
        return Err(Failure::new(Status::ARGUMENT, "the communicator is null"));
    }
    // SAFETY: made by `Arc::into_raw`, and alive; the count is of what is returned.
    Ok(unsafe {
        Arc::increment_strong_count(handle);
        Arc::from_raw(handle)
    })
}

/// Refuses what isn't a configuration of non-blocking communicators.
///
/// # Safety
/// The pointer is null or of a configuration.
unsafe fn check(config: *const Config) -> Result<(), Failure> {
    // SAFETY: the caller's promise.
    let config = unsafe { config.as_ref() };
    match config {
        Some(Config { size, magic: 0xcafe_beef, version, blocking: 0 })
            if *size >= size_of::<Config>() && *version >= 21_800 =>
        {
            Ok(())
        }
        _ => Err(Failure::new(Status::ARGUMENT, "no configuration of a non-blocking communicator")),
    }
}

/// # Safety
/// Pointers are what `nccl.h` says, here as of all functions below.
#[unsafe(no_mangle)]
unsafe extern "C" fn ncclGetVersion(version: *mut c_int) -> Status {
    // SAFETY: the caller's place.
    answer(unsafe { put(version, VERSION) }.map(|()| Status::SUCCESS))
}

#[unsafe(no_mangle)]
extern "C" fn ncclGetErrorString(status: Status) -> *const c_char {
    let text = match status {
        Status::SUCCESS => c"no error",
        Status::CUDA => c"unhandled cuda error",
        Status::SYSTEM => c"unhandled system error",
        Status::ARGUMENT => c"invalid argument",
        Status::USAGE => c"invalid usage",
        Status::REMOTE => c"remote process exited or there was a network error",
        Status::IN_PROGRESS => c"NCCL operation in progress",
        _ => c"unknown result code",
    };
    text.as_ptr()
}

#[unsafe(no_mangle)]
extern "C" fn ncclGetLastError(_handle: Handle) -> *const c_char {
    last()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn ncclGetUniqueId(id: *mut UniqueId) -> Status {
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    let name = format!("{:016x}", hasher.finish());
    let mut bytes = [0; 128];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    // SAFETY: the caller's place.
    answer(unsafe { put(id, UniqueId(bytes)) }.map(|()| Status::SUCCESS))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn ncclCommInitRankConfig(
    place: *mut Handle,
    ranks: c_int,
    id: UniqueId,
    rank: c_int,
    config: *mut Config,
) -> Status {
    let join = || {
        // SAFETY: the caller's configuration.
        unsafe { check(config) }?;
        let name = id.0.split(|byte| *byte == 0).next().unwrap_or_default();
        let plain = !name.is_empty() && name.iter().all(u8::is_ascii_hexdigit);
        let (Ok(name), true) = (std::str::from_utf8(name), plain && (0..ranks).contains(&rank))
        else {
            return Err(Failure::new(Status::ARGUMENT, format!("rank {rank} of {ranks}, {id:?}")));
        };
        let communicator = Communicator::join(name.to_owned(), rank as usize, ranks as usize)?;
        // SAFETY: the caller's place.
        unsafe { put(place, Arc::into_raw(communicator)) }?;
        Ok(Status::IN_PROGRESS)
    };
    answer(join())
}

impl std::fmt::Debug for UniqueId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("an identity that is not of ncclGetUniqueId")
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn ncclCommSplit(
    handle: Handle,
    color: c_int,
    key: c_int,
    place: *mut Handle,
    config: *mut Config,
) -> Status {
    let split = || {
        // SAFETY: the caller's configuration and communicator.
        let parent = unsafe { check(config).and_then(|()| communicator(handle)) }?;
        let color = if color == NO_COLOR { None } else { Some(color as u32) };
        let child = parent.split(color, key as u32)?;
        // SAFETY: the caller's place.
        unsafe { put(place, child.map_or(std::ptr::null(), Arc::into_raw)) }?;
        Ok(Status::IN_PROGRESS)
    };
    answer(split())
}

#[unsafe(no_mangle)]
unsafe extern "C" fn ncclCommUserRank(handle: Handle, rank: *mut c_int) -> Status {
    // SAFETY: the caller's communicator and place.
    let told = unsafe { communicator(handle).and_then(|own| put(rank, own.rank as c_int)) };
    answer(told.map(|()| Status::SUCCESS))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn ncclCommCount(handle: Handle, count: *mut c_int) -> Status {
    // SAFETY: the caller's communicator and place.
    let told = unsafe { communicator(handle).and_then(|own| put(count, own.size as c_int)) };
    answer(told.map(|()| Status::SUCCESS))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn ncclCommGetAsyncError(handle: Handle, error: *mut Status) -> Status {
    let ask = || {
        // SAFETY: the caller's communicator.
        let state = match unsafe { communicator(handle) }?.progress() {
            Ok(state) => state,
            Err(failure) => {
                remember(&failure.message);
                failure.status
            }
        };
        // SAFETY: the caller's place.
        unsafe { put(error, state) }?;
        Ok(Status::SUCCESS)
    };
    answer(ask())
}

#[unsafe(no_mangle)]
unsafe extern "C" fn ncclCommAbort(handle: Handle) -> Status {
    // SAFETY: the caller's communicator, whose handle ends here.
    let own = unsafe { communicator(handle).map(|_own| Arc::from_raw(handle)) };
    answer(own.map(|own| {
        own.abort();
        Status::SUCCESS
    }))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn ncclCommFinalize(handle: Handle) -> Status {
    // SAFETY: the caller's communicator.
    answer(unsafe { communicator(handle) }.and_then(|own| own.progress()))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn ncclCommDestroy(handle: Handle) -> Status {
    // SAFETY: the caller's communicator, whose handle ends here.
    unsafe { ncclCommAbort(handle) }
}

#[unsafe(no_mangle)]
extern "C" fn ncclGroupStart() -> Status {
    GROUP.with_borrow_mut(|group| match group {
        Some(_) => answer(Err(Failure::new(Status::USAGE, "a group within a group"))),
        None => {
            *group = Some(Vec::new());
            Status::SUCCESS
        }
    })
}

#[unsafe(no_mangle)]
extern "C" fn ncclGroupEnd() -> Status {
    let Some(added) = GROUP.with_borrow_mut(Option::take) else {
        return answer(Err(Failure::new(Status::USAGE, "the end of a group that wasn't begun")));
    };
    let begun = added.into_iter().try_for_each(|(own, transfers)| own.transfer(transfers));
    answer(begun.map(|()| Status::IN_PROGRESS))
}

/// Adds to the thread's group, or begins at once where there is none.
pub fn add(own: Arc<Communicator>, transfers: Transfers) -> Result<Status, Failure> {
    let alone = GROUP.with_borrow_mut(|group| {
        let Some(group) = group else { return Some(transfers) };
        match group.iter_mut().find(|(other, _)| Arc::ptr_eq(other, &own)) {
            Some((_, added)) => {
                added.sends.extend(transfers.sends);
                added.receives.extend(transfers.receives);
                added.kept.extend(transfers.kept);
            }
            None => group.push((own.clone(), transfers)),
        }
        None
    });
    if let Some(transfers) = alone {
        own.transfer(transfers)?;
        return Ok(Status::IN_PROGRESS);
    }
    Ok(Status::SUCCESS)
}
