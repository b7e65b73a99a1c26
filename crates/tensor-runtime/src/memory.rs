//! Blocks of memory, counted.

use crate::error::{ErrorCode, RuntimeError};
use crate::spare;
use cuda::{CopyHere, CudaError, Device as CudaDevice, DeviceMemory, Event, Stream};
use memmap2::MmapMut;
use std::alloc::{Layout, alloc, dealloc};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Cache lines and AVX-512 registers are 64 bytes.
const ALIGNMENT: usize = 64;
/// From here on a block is mapped on its own, in huge pages where there are any, and kept for the next of
/// its size when it is given back ([`spare`]).
const MAPPED_FROM: usize = 1 << 20;

static LIVE_STORAGES: AtomicUsize = AtomicUsize::new(0);
static LIVE_BYTES: AtomicUsize = AtomicUsize::new(0);
static PEAK_BYTES: AtomicUsize = AtomicUsize::new(0);
static LIVE_DEVICE_BYTES: AtomicUsize = AtomicUsize::new(0);
static PEAK_DEVICE_BYTES: AtomicUsize = AtomicUsize::new(0);

/// What tensors hold at the moment, over the whole process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryCounters {
    /// Storages that some view still refers to; 0 when nothing leaks.
    pub live_storages: usize,
    /// Bytes of allocated blocks; mapped files don't count.
    pub live_bytes: usize,
    /// The most that `live_bytes` has been since [`MemoryCounters::reset_peak`].
    pub peak_bytes: usize,
    /// Bytes of blocks on CUDA devices.
    pub live_device_bytes: usize,
    /// The most that `live_device_bytes` has been since [`MemoryCounters::reset_peak`].
    pub peak_device_bytes: usize,
}

impl MemoryCounters {
    /// The counters now.
    pub fn now() -> MemoryCounters {
        MemoryCounters {
            live_storages: LIVE_STORAGES.load(Ordering::Relaxed),
            live_bytes: LIVE_BYTES.load(Ordering::Relaxed),
            peak_bytes: PEAK_BYTES.load(Ordering::Relaxed),
            live_device_bytes: LIVE_DEVICE_BYTES.load(Ordering::Relaxed),
            peak_device_bytes: PEAK_DEVICE_BYTES.load(Ordering::Relaxed),
        }
    }

    /// Starts the peaks anew from what is live.
    pub fn reset_peak() {
        PEAK_DEVICE_BYTES.store(LIVE_DEVICE_BYTES.load(Ordering::Relaxed), Ordering::Relaxed);
        PEAK_BYTES.store(LIVE_BYTES.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

/// Counts one storage for as long as it lives.
#[derive(Debug)]
pub(crate) struct StorageCount(());

impl StorageCount {
    pub(crate) fn new() -> StorageCount {
        LIVE_STORAGES.fetch_add(1, Ordering::Relaxed);
        StorageCount(())
    }
}

impl Drop for StorageCount {
    fn drop(&mut self) {
        LIVE_STORAGES.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Memory that outputs are given instead of the process's own, such as memory that other processes
/// read.
///
/// # Safety
/// What [`OutputMemory::allocate`] returns must keep the promises of [`OutputBlock`].
pub unsafe trait OutputMemory: Send + Sync {
    /// A block of `bytes` bytes, more than 0, or why there is none: "6 bytes of the shared memory:
    /// it is full".
    fn allocate(&self, bytes: usize) -> Result<Box<dyn OutputBlock>, String>;
}

/// A block of an [`OutputMemory`], given back when dropped.
///
/// # Safety
/// Until it is dropped, all bytes from the address on are valid to read and write, from any thread,
/// and nobody else writes them. The address is aligned to 64 bytes.
pub unsafe trait OutputBlock: Send + Sync {
    /// The first byte.
    fn address(&self) -> *mut u8;
}

/// An owned block of uninitialised memory.
pub(crate) struct Block {
    source: Source,
    bytes: usize,
}

enum Source {
    Empty,
    Heap(*mut u8, Layout),
    Mapped(MmapMut),
    Foreign(Box<dyn OutputBlock>),
}

// SAFETY: the block is owned and has no thread affinity; who may touch its bytes when is the
// stream's business (see `Storage`).
unsafe impl Send for Block {}
// SAFETY: as above.
unsafe impl Sync for Block {}

impl Block {
    /// A block of `bytes` bytes, or `None` where the system has no memory.
    pub(crate) fn allocate(bytes: usize) -> Option<Block> {
        let source = if bytes == 0 {
            Source::Empty
        } else if bytes < MAPPED_FROM {
            let layout = Layout::from_size_align(bytes, ALIGNMENT).ok()?;
            // SAFETY: the layout has a size above 0.
            let data = unsafe { alloc(layout) };
            if data.is_null() {
                return None;
            }
            Source::Heap(data, layout)
        } else {
            Source::Mapped(spare::take(bytes, LIVE_BYTES.load(Ordering::Relaxed) + bytes)?)
        };
        Some(Block::counted(source, bytes))
    }

    /// A block of `bytes` bytes of another memory, for an output of `operation`.
    pub(crate) fn foreign(
        memory: &dyn OutputMemory,
        operation: &'static str,
        bytes: usize,
    ) -> Result<Block, RuntimeError> {
        if bytes == 0 {
            return Ok(Block::counted(Source::Empty, 0));
        }
        let block = memory.allocate(bytes).map_err(|reason| {
            RuntimeError::new(ErrorCode::OutOfMemory, operation, "", "", reason)
        })?;
        Ok(Block::counted(Source::Foreign(block), bytes))
    }

    fn counted(source: Source, bytes: usize) -> Block {
        let live = LIVE_BYTES.fetch_add(bytes, Ordering::Relaxed) + bytes;
        PEAK_BYTES.fetch_max(live, Ordering::Relaxed);
        Block { source, bytes }
    }

    /// The first byte; dangling but aligned for an empty block.
    pub(crate) fn pointer(&self) -> *mut u8 {
        match &self.source {
            Source::Empty => ALIGNMENT as *mut u8,
            Source::Heap(data, _) => *data,
            Source::Mapped(map) => map.as_ptr().cast_mut(),
            Source::Foreign(block) => block.address(),
        }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        LIVE_BYTES.fetch_sub(self.bytes, Ordering::Relaxed);
        match std::mem::replace(&mut self.source, Source::Empty) {
            // SAFETY: allocated with this layout in `allocate`, freed once.
            Source::Heap(data, layout) => unsafe { dealloc(data, layout) },
            Source::Mapped(map) => spare::give(map, LIVE_BYTES.load(Ordering::Relaxed)),
            Source::Foreign(_) | Source::Empty => {}
        }
    }
}

/// A block on a CUDA device, counted. It is given back in the order of the device's work.
pub(crate) struct DeviceBlock {
    /// `None` for no bytes.
    memory: Option<DeviceMemory>,
    bytes: usize,
    /// When a copy beside the device's kernels has filled it; none once they wait for that.
    arrival: Mutex<Option<Event>>,
    /// When what reads it beside the device's kernels has done so.
    readers: Mutex<Vec<Event>>,
}

impl DeviceBlock {
    pub(crate) fn allocate(
        device: &Arc<CudaDevice>,
        bytes: usize,
    ) -> Result<DeviceBlock, CudaError> {
        let memory = (bytes > 0).then(|| device.allocate(bytes)).transpose()?;
        let live = LIVE_DEVICE_BYTES.fetch_add(bytes, Ordering::Relaxed) + bytes;
        PEAK_DEVICE_BYTES.fetch_max(live, Ordering::Relaxed);
        let (arrival, readers) = (Mutex::new(None), Mutex::default());
        Ok(DeviceBlock { memory, bytes, arrival, readers })
    }

    /// Has kernels that are queued from now on wait until the block is filled.
    pub(crate) fn await_arrival(&self) -> Result<(), CudaError> {
        let arrival = self.arrival.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
        match (&self.memory, arrival) {
            (Some(memory), Some(event)) => memory.device().wait(Stream::Compute, &event),
            _ => Ok(()),
        }
    }

    /// Has it filled once `event` has passed, beside the device's kernels.
    pub(crate) fn arrives_at(&self, event: Event) {
        *self.arrival.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(event);
    }

    /// Has `bytes`, which fill the block, copied there beside the device's kernels, `copy` doing this
    /// machine's part.
    pub(crate) fn fill(&self, bytes: &[u8], copy: CopyHere<'_>) -> Result<(), CudaError> {
        assert_eq!(bytes.len(), self.bytes, "a block is filled by as many bytes");
        let Some(memory) = &self.memory else { return Ok(()) };
        let device = memory.device();
        // SAFETY: the block is as large as the bytes, and its arrival is waited for before it is read or
        // given back.
        let copied = unsafe { device.copy_to_device_on(Stream::Copy, self.address(), bytes, copy) };
        // Of a copy that failed midway as well: what of it is queued still writes to the block.
        self.arrives_at(device.record(Stream::Copy)?);
        copied
    }

    /// Keeps it until `event` has passed, at least.
    pub(crate) fn hold_until(&self, event: Event) {
        self.readers.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(event);
    }

    /// The first byte's address on the device; aligned but dangling for an empty block.
    pub(crate) fn address(&self) -> u64 {
        self.memory.as_ref().map_or(ALIGNMENT as u64, DeviceMemory::address)
    }
}

/// Blocks that are filled beside a device's kernels, from what these have computed so far.
pub(crate) struct Reserved {
    blocks: Vec<DeviceBlock>,
    device: Arc<CudaDevice>,
    /// Passed once what was queued before is computed, and the blocks' memory is theirs.
    ready: Event,
}

impl Reserved {
    /// Blocks of so many bytes. What fills them waits for what was queued before this call, as the memory
    /// may be from there, and for nothing that is queued later.
    pub(crate) fn new(
        device: &Arc<CudaDevice>,
        bytes: impl Iterator<Item = usize>,
    ) -> Result<Reserved, CudaError> {
        let blocks = bytes
            .map(|bytes| DeviceBlock::allocate(device, bytes))
            .collect::<Result<Vec<_>, _>>()?;
        let ready = device.record(Stream::Compute)?;
        Ok(Reserved { blocks, device: device.clone(), ready })
    }

    /// Has what is queued beside the kernels from now on wait until they are ready.
    pub(crate) fn begin(self) -> Result<Vec<DeviceBlock>, CudaError> {
        self.device.wait(Stream::Copy, &self.ready)?;
        Ok(self.blocks)
    }
}

impl Drop for DeviceBlock {
    fn drop(&mut self) {
        // The memory goes to others in the order of the kernels' stream. A device that fails here
        // fails whatever comes next.
        drop(self.await_arrival());
        if let Some(memory) = &self.memory {
            let readers = self.readers.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner());
            for event in readers.drain(..) {
                drop(memory.device().wait(Stream::Compute, &event));
            }
        }
        LIVE_DEVICE_BYTES.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(not(target_os = "linux"))]
const _: Option<Advice> = None;
