//! What ranks do together.

use super::call;
use super::communicator::{Communicator, State};
use super::error::NcclError;
use super::sys::{self, CommunicatorHandle, Status};
use crate::device::Stream;
use crate::sys::StreamHandle;
use std::ffi::c_int;
use std::sync::MutexGuard;
use tensor_layout::DType;

/// How the ranks' values are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// Their sum, in an order that NCCL chooses.
    Sum,
    /// The largest.
    Max,
    /// The smallest.
    Min,
}

impl Reduction {
    const fn number(self) -> c_int {
        match self {
            Self::Sum => sys::NCCL_SUM,
            Self::Max => sys::NCCL_MAX,
            Self::Min => sys::NCCL_MIN,
        }
    }
}

const fn element_type(dtype: DType) -> c_int {
    match dtype {
        DType::Float32 => sys::NCCL_FLOAT32,
        DType::BFloat16 => sys::NCCL_BFLOAT16,
        DType::Float16 => sys::NCCL_FLOAT16,
        DType::Int32 => sys::NCCL_INT32,
        DType::Int64 => sys::NCCL_INT64,
        DType::Int8 => sys::NCCL_INT8,
        DType::UInt8 => sys::NCCL_UINT8,
    }
}

impl Communicator {
    /// Every rank's `count` elements in order of the ranks, at every rank.
    ///
    /// # Safety
    ///
    /// `source` is the address of `count` elements of the device's memory, `target` of `count` for
    /// each rank; both live until the collective is done. `source` may be this rank's own part of
    /// `target`.
    ///
    /// # Errors
    ///
    /// `Deadline` where the others don't come, otherwise what NCCL says, or said before.
    pub unsafe fn all_gather(
        &self,
        source: u64,
        target: u64,
        count: usize,
        dtype: DType,
    ) -> Result<(), NcclError> {
        let kind = element_type(dtype);
        self.run("ncclAllGather", |handle, stream| {
            // SAFETY: the caller vouches for the addresses.
            unsafe {
                (self.nccl.functions.ncclAllGather)(source, target, count, kind, handle, stream)
            }
        })
    }

    /// All ranks' `count` elements put together, at every rank.
    ///
    /// # Safety
    ///
    /// Both addresses are of `count` elements of the device's memory, which live until the
    /// collective is done; they may be the same.
    ///
    /// # Errors
    ///
    /// As [`Communicator::all_gather`].
    pub unsafe fn all_reduce(
        &self,
        source: u64,
        target: u64,
        count: usize,
        dtype: DType,
        reduction: Reduction,
    ) -> Result<(), NcclError> {
        let (kind, how) = (element_type(dtype), reduction.number());
        self.run("ncclAllReduce", |handle, stream| {
            let function = self.nccl.functions.ncclAllReduce;
            // SAFETY: the caller vouches for the addresses.
            unsafe { function(source, target, count, kind, how, handle, stream) }
        })
    }

    /// All ranks' elements put together, of which each rank gets its `count`.
    ///
    /// # Safety
    ///
    /// `source` is the address of `count` elements for each rank, `target` of `count`; both live
    /// until the collective is done.
    ///
    /// # Errors
    ///
    /// As [`Communicator::all_gather`].
    pub unsafe fn reduce_scatter(
        &self,
        source: u64,
        target: u64,
        count: usize,
        dtype: DType,
        reduction: Reduction,
    ) -> Result<(), NcclError> {
        let (kind, how) = (element_type(dtype), reduction.number());
        self.run("ncclReduceScatter", |handle, stream| {
            let function = self.nccl.functions.ncclReduceScatter;
            // SAFETY: the caller vouches for the addresses.
            unsafe { function(source, target, count, kind, how, handle, stream) }
        })
    }

    /// Rank `root`'s `count` elements, at every rank.
    ///
    /// # Safety
    ///
    /// As [`Communicator::all_reduce`]; `source` is read at `root` alone.
    ///
    /// # Errors
    ///
    /// As [`Communicator::all_gather`].
    pub unsafe fn broadcast(
        &self,
        source: u64,
        target: u64,
        count: usize,
        dtype: DType,
        root: usize,
    ) -> Result<(), NcclError> {
        let root = self.peer("ncclBroadcast", root)?;
        let kind = element_type(dtype);
        self.run("ncclBroadcast", |handle, stream| {
            let function = self.nccl.functions.ncclBroadcast;
            // SAFETY: the caller vouches for the addresses.
            unsafe { function(source, target, count, kind, root, handle, stream) }
        })
    }

    /// Begins a group of sends and receives, which take place together at its end, on the compute
    /// stream.
    ///
    /// # Errors
    ///
    /// What NCCL says, or said before.
    pub fn group(&self) -> Result<Group<'_>, NcclError> {
        self.group_on(Stream::Compute)
    }

    /// [`Communicator::group`] on either stream. On the copy stream it takes place beside kernels: order
    /// it by events after what fills its sources and used its targets before, and before what comes next.
    ///
    /// # Errors
    ///
    /// As [`Communicator::group`].
    pub fn group_on(&self, stream: Stream) -> Result<Group<'_>, NcclError> {
        self.device.make_current()?;
        let state = self.alive()?;
        // SAFETY: ended by the group, on this thread.
        unsafe { call!(self.nccl, state.handle, ncclGroupStart()) }?;
        Ok(Group { communicator: self, stream: self.device.stream(stream), state, open: true })
    }

    /// Queues one collective.
    pub(super) fn run(
        &self,
        function: &'static str,
        queue: impl FnOnce(CommunicatorHandle, StreamHandle) -> Status,
    ) -> Result<(), NcclError> {
        self.device.make_current()?;
        let mut state = self.alive()?;
        let status = queue(state.handle, self.device.stream(Stream::Compute));
        self.settled(&mut state, function, status)
    }

    /// A rank's number, if there is one so numbered.
    fn peer(&self, function: &'static str, peer: usize) -> Result<c_int, NcclError> {
        match c_int::try_from(peer) {
            Ok(number) if peer < self.size() => Ok(number),
            _ => Err(NcclError::usage(function, format!("no rank {peer} among {}", self.size()))),
        }
    }
}

/// Sends and receives that take place together. They don't wait for each other, so any order of them
/// is right.
pub struct Group<'a> {
    communicator: &'a Communicator,
    stream: StreamHandle,
    /// Held, and on this thread, until the group ends: NCCL keeps groups by thread.
    state: MutexGuard<'a, State>,
    open: bool,
}

impl Group<'_> {
    /// Adds a send of `count` elements to a rank.
    ///
    /// # Safety
    ///
    /// `source` is the address of that many elements of the device's memory, which live until the
    /// send is done.
    ///
    /// # Errors
    ///
    /// `Usage` where there is no such rank, otherwise what NCCL says.
    pub unsafe fn send(
        &mut self,
        source: u64,
        count: usize,
        dtype: DType,
        peer: usize,
    ) -> Result<(), NcclError> {
        let communicator = self.communicator;
        let peer = communicator.peer("ncclSend", peer)?;
        let (kind, handle, stream) = (element_type(dtype), self.state.handle, self.stream);
        // SAFETY: the caller vouches for the address.
        let status = unsafe {
            (communicator.nccl.functions.ncclSend)(source, count, kind, peer, handle, stream)
        };
        communicator.nccl.added("ncclSend", handle, status)
    }

    /// Adds a receive of `count` elements from a rank.
    ///
    /// # Safety
    ///
    /// As [`Group::send`], for `target`.
    ///
    /// # Errors
    ///
    /// As [`Group::send`].
    pub unsafe fn receive(
        &mut self,
        target: u64,
        count: usize,
        dtype: DType,
        peer: usize,
    ) -> Result<(), NcclError> {
        let communicator = self.communicator;
        let peer = communicator.peer("ncclRecv", peer)?;
        let (kind, handle, stream) = (element_type(dtype), self.state.handle, self.stream);
        // SAFETY: the caller vouches for the address.
        let status = unsafe {
            (communicator.nccl.functions.ncclRecv)(target, count, kind, peer, handle, stream)
        };
        communicator.nccl.added("ncclRecv", handle, status)
    }

    /// Queues what was added.
    ///
    /// # Errors
    ///
    /// As [`Communicator::all_gather`].
    pub fn end(mut self) -> Result<(), NcclError> {
        self.open = false;
        let communicator = self.communicator;
        // SAFETY: begun on this thread.
        let status = unsafe { (communicator.nccl.functions.ncclGroupEnd)() };
        communicator.settled(&mut self.state, "ncclGroupEnd", status)
    }
}

impl Drop for Group<'_> {
    fn drop(&mut self) {
        if self.open {
            // Left midway: other ranks wait for what was never added, so this one can't go on.
            // SAFETY: begun on this thread, of which it must not stay open.
            let _ = unsafe { (self.communicator.nccl.functions.ncclGroupEnd)() };
            let message = "a group was left before its end";
            let error = NcclError::usage("ncclGroupEnd", message);
            self.communicator.end(&mut self.state, error);
        }
    }
}
