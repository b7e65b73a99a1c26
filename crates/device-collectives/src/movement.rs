//! A collective's bytes, as sends and receives of NCCL's.

use cuda::nccl::{Communicator, NcclError};
use cuda::{CudaError, DeviceMemory, Stream};
use cuda_kernels::{DType, DeviceView, Gpu, Layout, movement};
use std::fmt;
use transport::Operation;
use transport::reshard::{Part, Place, Reshard};

/// What pieces of packed elements begin at a multiple of, in bytes, as kernels like them.
const ALIGNMENT: usize = 256;

/// Why a collective can't be queued.
#[derive(Debug)]
pub(crate) enum Failure {
    Nccl(NcclError),
    Cuda(CudaError),
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Nccl(error) => error.fmt(formatter),
            Failure::Cuda(error) => error.fmt(formatter),
        }
    }
}

impl From<NcclError> for Failure {
    fn from(error: NcclError) -> Failure {
        Failure::Nccl(error)
    }
}

impl From<CudaError> for Failure {
    fn from(error: CudaError) -> Failure {
        Failure::Cuda(error)
    }
}

/// A collective on its way, as its member queues it.
pub(crate) struct Movement<'a> {
    pub communicator: &'a Communicator,
    pub gpu: &'a Gpu,
    pub stream: Stream,
    pub dtype: DType,
    pub index: usize,
    pub size: usize,
}

/// Elements in one piece, to or from a member. Hops between two members meet in their order.
struct Hop {
    address: u64,
    count: usize,
    member: usize,
}

impl Movement<'_> {
    /// Queues it.
    ///
    /// # Safety
    ///
    /// As [`crate::DeviceGroup::run`]; all members have agreed on it.
    pub(crate) unsafe fn queue(
        &self,
        operation: &Operation,
        sources: &[DeviceView],
        targets: &[DeviceView],
    ) -> Result<(), Failure> {
        let address =
            |views: &[DeviceView]| views.first().map_or(0, cuda_kernels::DeviceView::pointer);
        let (source, target) = (address(sources), address(targets));
        // SAFETY: the operation's sizes are those of the buffers, for which the caller vouches.
        unsafe {
            match operation {
                Operation::Barrier => Ok(()),
                Operation::Broadcast { count: 0, .. } => Ok(()),
                Operation::Broadcast { root, count } => {
                    Ok(self.communicator.broadcast(source, target, *count, self.dtype, *root)?)
                }
                Operation::AllGather { counts } => self.all_gather(counts, source, target),
                Operation::AllToAll { send, receive } => {
                    let sends = self.parts(send, source);
                    let receives = self.parts(receive, target);
                    self.keep(&sends[self.index], &receives[self.index])?;
                    self.exchange(&sends, &receives)
                }
                Operation::Exchange { to, from } => {
                    let hop = |address, peer: &transport::Peer| {
                        vec![Hop { address, count: peer.count, member: peer.member }]
                    };
                    let sends = to.as_ref().map_or_else(Vec::new, |peer| hop(source, peer));
                    let receives = from.as_ref().map_or_else(Vec::new, |peer| hop(target, peer));
                    self.exchange(&sends, &receives)
                }
                Operation::Reshard(reshard) => self.reshard(reshard, sources, targets),
                Operation::AllReduce { .. } | Operation::ReduceScatter { .. } => {
                    unreachable!("sums go through the machines; see `DeviceGroup::moves`")
                }
            }
        }
    }

    /// Pieces of `counts` elements, one for each member, one after the other.
    fn parts(&self, counts: &[usize], address: u64) -> Vec<Hop> {
        let starts = counts.iter().scan(0, |start, count| {
            let here = *start;
            *start += count;
            Some(here)
        });
        let hop = |(member, (start, &count))| Hop {
            address: address + (start * self.dtype.size()) as u64,
            count,
            member,
        };
        starts.zip(counts).enumerate().map(hop).collect()
    }

    unsafe fn all_gather(&self, counts: &[usize], source: u64, target: u64) -> Result<(), Failure> {
        let own = counts[self.index];
        // SAFETY: as of `queue`.
        unsafe {
            if self.stream == Stream::Compute && own > 0 && counts.iter().all(|each| *each == own) {
                return Ok(self.communicator.all_gather(source, target, own, self.dtype)?);
            }
            let send = |member| Hop { address: source, count: own, member };
            let sends: Vec<Hop> = (0..self.size).map(send).collect();
            let receives = self.parts(counts, target);
            self.keep(&sends[self.index], &receives[self.index])?;
            self.exchange(&sends, &receives)
        }
    }

    /// Copies what a member has for itself.
    unsafe fn keep(&self, source: &Hop, target: &Hop) -> Result<(), Failure> {
        let bytes = target.count * self.dtype.size();
        // SAFETY: as of `queue`.
        Ok(unsafe { self.gpu.device().copy_on_device(target.address, source.address, bytes) }?)
    }

    /// Sends and receives all that is between this member and others.
    unsafe fn exchange(&self, sends: &[Hop], receives: &[Hop]) -> Result<(), Failure> {
        let between = |hop: &&Hop| hop.count > 0 && hop.member != self.index;
        if !sends.iter().chain(receives).any(|hop| between(&hop)) {
            return Ok(());
        }
        let mut group = self.communicator.group_on(self.stream)?;
        for hop in sends.iter().filter(between) {
            // SAFETY: as of `queue`.
            unsafe { group.send(hop.address, hop.count, self.dtype, hop.member) }?;
        }
        for hop in receives.iter().filter(between) {
            // SAFETY: as of `queue`.
            unsafe { group.receive(hop.address, hop.count, self.dtype, hop.member) }?;
        }
        Ok(group.end()?)
    }

    /// Parts that lie in one piece go straight from tensor to tensor; others are packed before they
    /// are sent, or unpacked once they are there.
    unsafe fn reshard(
        &self,
        reshard: &Reshard,
        sources: &[DeviceView],
        targets: &[DeviceView],
    ) -> Result<(), Failure> {
        let others = || (0..self.size).filter(|member| *member != self.index);
        let outgoing = |member| reshard.part(self.index, member);
        let incoming = |member| reshard.part(member, self.index);
        let mut packed = Packed::new(self.gpu, self.dtype);
        for member in others() {
            for _ in 0..reshard.tensors {
                packed.reserve(&outgoing(member), outgoing(member).source);
                packed.reserve(&incoming(member), incoming(member).target);
            }
        }
        packed.allocate()?;
        let own = reshard.part(self.index, self.index);
        for (source, target) in sources.iter().zip(targets) {
            let (from, to) = (view(source, &own, own.source), view(target, &own, own.target));
            movement::copy(self.gpu, &from, &to)?;
        }
        let (mut sends, mut receives, mut arrivals) = (Vec::new(), Vec::new(), Vec::new());
        for member in others() {
            for (source, target) in sources.iter().zip(targets) {
                let part = outgoing(member);
                let from = view(source, &part, part.source);
                let piece = packed.piece(&part, part.source, &from);
                if !is_whole(&part, part.source) {
                    movement::copy(self.gpu, &from, &piece)?;
                }
                sends.push(Hop { address: piece.pointer(), count: part.count(), member });
                let part = incoming(member);
                let to = view(target, &part, part.target);
                let piece = packed.piece(&part, part.target, &to);
                receives.push(Hop { address: piece.pointer(), count: part.count(), member });
                if !is_whole(&part, part.target) {
                    arrivals.push((piece, to));
                }
            }
        }
        // SAFETY: as of `queue`; the packed pieces are given back after what is queued here, in the
        // order of the same stream.
        unsafe { self.exchange(&sends, &receives) }?;
        for (piece, to) in &arrivals {
            movement::copy(self.gpu, piece, to)?;
        }
        Ok(())
    }
}

/// A part of a tensor that a resharding moves, in the tensor.
fn view(tensor: &DeviceView, part: &Part, place: Place) -> DeviceView {
    let layout = Layout {
        shape: vec![part.outer, part.rows, part.run],
        strides: vec![place.outer_stride, place.row_stride, 1],
        offset: tensor.layout.offset + place.start,
    };
    DeviceView { address: tensor.address, dtype: tensor.dtype, layout }
}

/// Whether a part's elements follow each other.
fn is_whole(part: &Part, place: Place) -> bool {
    (part.rows <= 1 || place.row_stride == part.run)
        && (part.outer <= 1 || place.outer_stride == part.rows * part.run)
}

/// Memory for parts that are packed, one after the other.
struct Packed<'a> {
    gpu: &'a Gpu,
    dtype: DType,
    bytes: usize,
    memory: Option<DeviceMemory>,
    /// Of pieces handed out.
    used: usize,
}

impl<'a> Packed<'a> {
    fn new(gpu: &'a Gpu, dtype: DType) -> Packed<'a> {
        Packed { gpu, dtype, bytes: 0, memory: None, used: 0 }
    }

    fn room(&self, part: &Part) -> usize {
        (part.count() * self.dtype.size()).next_multiple_of(ALIGNMENT)
    }

    fn reserve(&mut self, part: &Part, place: Place) {
        if !is_whole(part, place) {
            self.bytes += self.room(part);
        }
    }

    fn allocate(&mut self) -> Result<(), CudaError> {
        if self.bytes > 0 {
            self.memory = Some(self.gpu.device().allocate(self.bytes)?);
        }
        Ok(())
    }

    /// Where a part is sent from or received into: the tensor itself, or the next piece.
    fn piece(&mut self, part: &Part, place: Place, tensor: &DeviceView) -> DeviceView {
        if is_whole(part, place) {
            return tensor.clone();
        }
        let base = self.memory.as_ref().map_or(0, DeviceMemory::address);
        let address = base + self.used as u64;
        self.used += self.room(part);
        let layout = Layout::contiguous(tensor.shape());
        DeviceView { address, dtype: self.dtype, layout }
    }
}
