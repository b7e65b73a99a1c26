//! Memory that tensors view, and its life from pending to ready or failed.

use crate::device::Device;
use crate::error::{ErrorCode, RuntimeError};
use crate::gpus::from_cuda;
use crate::memory::{Block, DeviceBlock, StorageCount};
use crate::rehearsal::{CountedBlock, CountedMap};
use cuda::Event;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};

/// Memory that tensors read in place, such as a mapped file. It stays where it is.
pub trait Backing: AsRef<[u8]> + Send + Sync {
    /// Told when the last tensor that read `range` is gone, so that its pages need not be held. They
    /// may be read again later.
    fn release(&self, range: Range<usize>);
}

/// Memory behind one or more tensors.
///
/// A storage is *pending* from the moment its operation is submitted, *ready* once the operation
/// has run, or *failed*. Only the stream's thread, or the one beside it, makes it ready, and only
/// before any operation that reads it; a ready storage is never written again, so readers need no lock.
///
/// On a CUDA device *ready* means that the work is handed to the device, which does it in order.
pub struct Storage {
    bytes: usize,
    device: Device,
    state: Mutex<State>,
    _count: StorageCount,
}

enum State {
    Pending,
    Ready(Memory),
    Failed(RuntimeError),
}

pub(crate) enum Memory {
    Owned(Block),
    OnDevice(DeviceBlock),
    /// `count` is a rehearsal's.
    Borrowed {
        owner: Arc<dyn Backing>,
        offset: usize,
        count: Option<CountedMap>,
    },
    /// Memory that a rehearsal counts and nobody has.
    Absent(#[expect(dead_code, reason = "counts until it is dropped")] CountedBlock),
}

impl Memory {
    fn pointer(&self) -> Result<*const u8, RuntimeError> {
        match self {
            Memory::Owned(block) => Ok(block.pointer()),
            Memory::Borrowed { owner, offset, .. } => {
                let bytes: &[u8] = owner.as_ref().as_ref();
                // SAFETY: `Storage::borrowed` checked that the offset lies within the owner.
                Ok(unsafe { bytes.as_ptr().add(*offset) })
            }
            Memory::OnDevice(_) => Err(RuntimeError::new(
                ErrorCode::Internal,
                "stream",
                "",
                "",
                "memory of a CUDA device was taken for this machine's",
            )),
            Memory::Absent(_) => Err(RuntimeError::argument(
                "stream",
                "tensor",
                "one that was computed",
                "of a rehearsal, which computes nothing",
            )),
        }
    }
}

impl Storage {
    /// A storage whose memory comes when its operation runs.
    pub(crate) fn pending(bytes: usize, device: Device) -> Storage {
        Storage { bytes, device, state: Mutex::new(State::Pending), _count: StorageCount::new() }
    }

    /// A storage that owns a copy of `bytes`.
    pub fn copied(bytes: &[u8]) -> Result<Storage, RuntimeError> {
        let block =
            Block::allocate(bytes.len()).ok_or_else(|| out_of_memory("tensor", bytes.len()))?;
        // SAFETY: the block is new, of that size, and doesn't overlap the slice.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), block.pointer(), bytes.len()) };
        Ok(Storage::ready(bytes.len(), Memory::Owned(block)))
    }

    /// A storage that reads `length` bytes of `owner` in place, such as a mapped file.
    ///
    /// Returns `None` where they don't lie within `owner` or aren't aligned to `alignment`.
    pub fn borrowed(
        owner: Arc<dyn Backing>,
        offset: usize,
        length: usize,
        alignment: usize,
    ) -> Option<Storage> {
        let bytes: &[u8] = owner.as_ref().as_ref();
        if offset.checked_add(length)? > bytes.len()
            || !(bytes.as_ptr() as usize + offset).is_multiple_of(alignment)
        {
            return None;
        }
        Some(Storage::ready(length, Memory::Borrowed { owner, offset, count: None }))
    }

    fn ready(bytes: usize, memory: Memory) -> Storage {
        let (device, state) = (Device::Cpu, Mutex::new(State::Ready(memory)));
        Storage { bytes, device, state, _count: StorageCount::new() }
    }

    /// Where the memory is.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Bytes of memory, allocated or to come.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether the memory is another owner's, read in place, such as a mapped file.
    pub fn is_borrowed(&self) -> bool {
        matches!(&*self.lock(), State::Ready(Memory::Borrowed { .. }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Where the memory is, or why there is none.
    pub(crate) fn pointer(&self) -> Result<*const u8, RuntimeError> {
        match &*self.lock() {
            State::Ready(memory) => memory.pointer(),
            State::Failed(error) => Err(error.clone()),
            State::Pending => Err(RuntimeError::new(
                ErrorCode::Internal,
                "stream",
                "",
                "",
                "a tensor was read before its operation ran",
            )),
        }
    }

    /// The address on its CUDA device, for what is queued there next, or why there is none.
    pub(crate) fn device_address(&self) -> Result<u64, RuntimeError> {
        if let State::Ready(Memory::OnDevice(block)) = &*self.lock() {
            block.await_arrival().map_err(|error| from_cuda("toDevice", error))?;
            return Ok(block.address());
        }
        self.pointer()?;
        let found = format!("memory of this machine was taken for that of {}", self.device);
        Err(RuntimeError::new(ErrorCode::Internal, "stream", "", "", found))
    }

    /// Keeps memory on a CUDA device until `event` has passed, at least.
    pub(crate) fn hold_until(&self, event: Event) {
        if let State::Ready(Memory::OnDevice(block)) = &*self.lock() {
            block.hold_until(event);
        }
    }

    /// Whether the operation that fills it has still to run.
    pub(crate) fn is_pending(&self) -> bool {
        matches!(&*self.lock(), State::Pending)
    }

    /// A storage without memory, of a rehearsal.
    pub(crate) fn absent(block: CountedBlock) -> Storage {
        Storage::ready(block.bytes(), Memory::Absent(block))
    }

    /// Has a rehearsal count the pages that are touched of borrowed memory.
    pub(crate) fn count_with(&self, map: CountedMap) {
        if let State::Ready(Memory::Borrowed { count, .. }) = &mut *self.lock() {
            *count = Some(map);
        }
    }

    /// Whether the storage is of a rehearsal and has no memory.
    pub(crate) fn is_absent(&self) -> bool {
        matches!(&*self.lock(), State::Ready(Memory::Absent(_)))
    }

    /// Counts `bytes` of borrowed memory as touched, where a rehearsal counts it.
    pub(crate) fn touch(&self, bytes: usize) {
        if let State::Ready(Memory::Borrowed { count: Some(map), .. }) = &*self.lock() {
            map.touch(bytes);
        }
    }

    pub(crate) fn complete_absent(&self, block: CountedBlock) {
        *self.lock() = State::Ready(Memory::Absent(block));
    }

    pub(crate) fn complete(&self, block: Block) {
        *self.lock() = State::Ready(Memory::Owned(block));
    }

    pub(crate) fn complete_on_device(&self, block: DeviceBlock) {
        *self.lock() = State::Ready(Memory::OnDevice(block));
    }

    pub(crate) fn fail(&self, error: RuntimeError) {
        *self.lock() = State::Failed(error);
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        let bytes = self.bytes;
        if let State::Ready(Memory::Borrowed { owner, offset, .. }) = &*self.lock() {
            owner.release(*offset..*offset + bytes);
        }
    }
}

pub(crate) fn out_of_memory(operation: &'static str, bytes: usize) -> RuntimeError {
    RuntimeError::new(ErrorCode::OutOfMemory, operation, "", "", format!("{bytes} bytes"))
}
