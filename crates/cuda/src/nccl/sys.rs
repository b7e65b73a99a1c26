//! NCCL's functions and numbers as `nccl.h` of version 2.30 declares them. Nothing here checks.

use crate::sys::StreamHandle;
use crate::table::function_table;
use std::ffi::{c_char, c_int, c_uint, c_void};

/// `ncclResult_t`.
pub type Status = c_int;
/// `ncclComm_t`.
pub type CommunicatorHandle = *mut c_void;

/// `ncclUniqueId`: passed by value.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct UniqueIdBytes(pub [u8; 128]);

/// `ncclConfig_t` as of version 2.18, the first with `ncclCommSplit`. Later versions take it by the
/// size and the version that it says, and give what they added since its default.
#[repr(C)]
pub struct Config {
    pub size: usize,
    pub magic: c_uint,
    pub version: c_uint,
    pub blocking: c_int,
    pub cga_cluster_size: c_int,
    pub min_ctas: c_int,
    pub max_ctas: c_int,
    pub net_name: *const c_char,
    pub split_share: c_int,
}

/// The version that [`Config`] is of.
pub const CONFIG_VERSION: c_uint = 21800;
pub const NCCL_API_MAGIC: c_uint = 0xcafe_beef;
pub const NCCL_CONFIG_UNDEF_INT: c_int = c_int::MIN;
pub const NCCL_SPLIT_NOCOLOR: c_int = -1;

pub const NCCL_SUCCESS: Status = 0;
pub const NCCL_UNHANDLED_CUDA_ERROR: Status = 1;
pub const NCCL_SYSTEM_ERROR: Status = 2;
pub const NCCL_INTERNAL_ERROR: Status = 3;
pub const NCCL_INVALID_ARGUMENT: Status = 4;
pub const NCCL_INVALID_USAGE: Status = 5;
pub const NCCL_REMOTE_ERROR: Status = 6;
pub const NCCL_IN_PROGRESS: Status = 7;
pub const NCCL_TIMEOUT: Status = 8;

pub const NCCL_INT8: c_int = 0;
pub const NCCL_UINT8: c_int = 1;
pub const NCCL_INT32: c_int = 2;
pub const NCCL_INT64: c_int = 4;
pub const NCCL_FLOAT16: c_int = 6;
pub const NCCL_FLOAT32: c_int = 7;
pub const NCCL_BFLOAT16: c_int = 9;

pub const NCCL_SUM: c_int = 0;
pub const NCCL_MAX: c_int = 2;
pub const NCCL_MIN: c_int = 3;

function_table! {
    /// What is used of NCCL.
    Functions {
        fn ncclGetVersion(version: *mut c_int) -> Status;
        fn ncclGetErrorString(status: Status) -> *const c_char;
        fn ncclGetLastError(communicator: CommunicatorHandle) -> *const c_char;
        fn ncclGetUniqueId(id: *mut UniqueIdBytes) -> Status;
        fn ncclCommInitRankConfig(
            communicator: *mut CommunicatorHandle,
            ranks: c_int,
            id: UniqueIdBytes,
            rank: c_int,
            config: *mut Config,
        ) -> Status;
        fn ncclCommSplit(
            communicator: CommunicatorHandle,
            color: c_int,
            key: c_int,
            child: *mut CommunicatorHandle,
            config: *mut Config,
        ) -> Status;
        fn ncclCommUserRank(communicator: CommunicatorHandle, rank: *mut c_int) -> Status;
        fn ncclCommCount(communicator: CommunicatorHandle, count: *mut c_int) -> Status;
        fn ncclCommGetAsyncError(communicator: CommunicatorHandle, error: *mut Status) -> Status;
        fn ncclCommAbort(communicator: CommunicatorHandle) -> Status;
        fn ncclCommFinalize(communicator: CommunicatorHandle) -> Status;
        fn ncclCommDestroy(communicator: CommunicatorHandle) -> Status;
        fn ncclGroupStart() -> Status;
        fn ncclGroupEnd() -> Status;
        fn ncclSend(
            source: u64,
            count: usize,
            element_type: c_int,
            peer: c_int,
            communicator: CommunicatorHandle,
            stream: StreamHandle,
        ) -> Status;
        fn ncclRecv(
            target: u64,
            count: usize,
            element_type: c_int,
            peer: c_int,
            communicator: CommunicatorHandle,
            stream: StreamHandle,
        ) -> Status;
        fn ncclAllGather(
            source: u64,
            target: u64,
            count: usize,
            element_type: c_int,
            communicator: CommunicatorHandle,
            stream: StreamHandle,
        ) -> Status;
        fn ncclAllReduce(
            source: u64,
            target: u64,
            count: usize,
            element_type: c_int,
            reduction: c_int,
            communicator: CommunicatorHandle,
            stream: StreamHandle,
        ) -> Status;
        fn ncclReduceScatter(
            source: u64,
            target: u64,
            count: usize,
            element_type: c_int,
            reduction: c_int,
            communicator: CommunicatorHandle,
            stream: StreamHandle,
        ) -> Status;
        fn ncclBroadcast(
            source: u64,
            target: u64,
            count: usize,
            element_type: c_int,
            root: c_int,
            communicator: CommunicatorHandle,
            stream: StreamHandle,
        ) -> Status;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::{offset_of, size_of};

    #[test]
    fn structures_lie_as_in_the_header() {
        assert_eq!((offset_of!(Config, magic), offset_of!(Config, version)), (8, 12));
        assert_eq!((offset_of!(Config, blocking), offset_of!(Config, net_name)), (16, 32));
        // The next field of later versions begins within what pads this one.
        assert_eq!((offset_of!(Config, split_share), size_of::<Config>()), (40, 48));
        assert_eq!((size_of::<UniqueIdBytes>(), align_of::<UniqueIdBytes>()), (128, 1));
    }
}
