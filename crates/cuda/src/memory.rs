//! Memory of a device.

use crate::device::{Device, Stream};
use crate::driver::{Driver, call};
use crate::error::{CudaError, CudaErrorCode, binary_size};
use crate::sys::{self, DeviceNumber, MemoryLocation, PoolFunctions, PoolHandle, PoolProperties};
use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How a device hands out memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allocation {
    /// From a pool, in the order of the compute stream: neither allocating nor freeing waits.
    StreamOrdered,
    /// By calls of which each free waits for the device, since it has no pools.
    Blocking {
        /// Why it has none.
        reason: String,
    },
}

/// What a device allocates from, and how much is held.
pub(crate) struct Allocator {
    kind: Allocation,
    /// The pool and its functions where `kind` is `StreamOrdered`.
    pool: Option<(PoolFunctions, PoolHandle)>,
    held: AtomicU64,
}

impl Allocator {
    /// That of a device that is being opened.
    pub(crate) fn none() -> Allocator {
        let reason = "the device is not open yet".to_owned();
        Allocator { kind: Allocation::Blocking { reason }, pool: None, held: AtomicU64::new(0) }
    }

    /// A pool on the device whose context is current, or its absence.
    pub(crate) fn new(
        driver: &Driver,
        device: DeviceNumber,
        supported: bool,
    ) -> Result<Allocator, CudaError> {
        let (Some(table), true) = (driver.pools, supported) else {
            let (major, minor) = driver.version();
            let reason = match driver.pools {
                None => {
                    format!("the driver (CUDA {major}.{minor}) has none: CUDA 11.2 and later do")
                }
                Some(_) => {
                    "the device has none (CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED)".into()
                }
            };
            return Ok(Allocator { kind: Allocation::Blocking { reason }, ..Allocator::none() });
        };
        let properties = PoolProperties {
            allocation_type: sys::CU_MEM_ALLOCATION_TYPE_PINNED,
            handle_types: sys::CU_MEM_HANDLE_TYPE_NONE,
            location: MemoryLocation { kind: sys::CU_MEM_LOCATION_TYPE_DEVICE, id: device },
            win32_security_attributes: std::ptr::null_mut(),
            max_size: 0,
            usage: 0,
            reserved: [0; 54],
        };
        let mut pool = PoolHandle::NULL;
        // SAFETY: reads the properties, writes one handle.
        unsafe { call!(driver, table, cuMemPoolCreate(&mut pool, &properties)) }?;
        let allocator = Allocator {
            kind: Allocation::StreamOrdered,
            pool: Some((table, pool)),
            held: AtomicU64::new(0),
        };
        // Freed memory stays with the pool: giving it back to the system at every wait, as pools do
        // by themselves, costs more than a kernel.
        let mut threshold = u64::MAX;
        let value: *mut c_void = (&raw mut threshold).cast();
        let attribute = sys::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
        // SAFETY: the attribute is a 64-bit number, which the call reads.
        let set = unsafe { call!(driver, table, cuMemPoolSetAttribute(pool, attribute, value)) };
        set.inspect_err(|_| allocator.release(driver))?;
        Ok(allocator)
    }

    /// Takes back the pool; nothing that was allocated from it is left.
    pub(crate) fn release(&self, driver: &Driver) {
        if let Some((table, pool)) = &self.pool {
            // Nobody is left to be told of a failure.
            // SAFETY: made in `new`, destroyed once.
            let _ = unsafe { call!(driver, table, cuMemPoolDestroy(*pool)) };
        }
    }
}

/// A block of a device's memory, given back when dropped, from any thread: in the order of the
/// compute stream, so after everything that was queued there before.
pub struct DeviceMemory {
    device: Arc<Device>,
    address: u64,
    bytes: usize,
    source: Source,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    /// No bytes.
    Empty,
    Pool,
    Device,
    /// Another process's.
    Ipc,
}

impl Device {
    /// How the device hands out memory.
    pub fn allocation(&self) -> &Allocation {
        &self.allocator.kind
    }

    /// Bytes that this `Device` has handed out and not been given back.
    pub fn held_memory(&self) -> u64 {
        self.allocator.held.load(Ordering::Relaxed)
    }

    /// A block of `bytes` bytes of whatever content, usable by what is queued on the compute stream
    /// from now on, aligned to 256 bytes. No bytes take no memory and lie at address 0.
    ///
    /// Where the device is full, memory that the pool keeps is first given back and asked for again.
    ///
    /// # Errors
    ///
    /// `OutOfMemory` with what was asked for, what is free and what is held; otherwise what the
    /// driver says.
    pub fn allocate(self: &Arc<Self>, bytes: usize) -> Result<DeviceMemory, CudaError> {
        if bytes == 0 {
            return Ok(DeviceMemory {
                device: self.clone(),
                address: 0,
                bytes,
                source: Source::Empty,
            });
        }
        let Some((table, pool)) = self.allocator.pool else {
            return self.allocate_from_device(bytes);
        };
        self.make_current()?;
        let stream = self.stream(Stream::Compute);
        let take = || {
            let mut address = 0;
            // SAFETY: writes one address; the pool and the stream are the device's.
            unsafe {
                call!(
                    self.driver(),
                    table,
                    cuMemAllocFromPoolAsync(&mut address, bytes, pool, stream)
                )
            }
            .map(|()| address)
        };
        let taken = take().or_else(|error| {
            if error.code != CudaErrorCode::OutOfMemory {
                return Err(error);
            }
            // Blocks whose frees are still queued, and blocks of other sizes.
            self.trim()?;
            take()
        });
        let address = taken.map_err(|error| self.full(error, bytes))?;
        Ok(self.hold(address, bytes, Source::Pool))
    }

    /// A block that other processes can be given by [`DeviceMemory::ipc_handle`]: not from the pool,
    /// whose memory they can't open. Dropping it waits for the device.
    ///
    /// # Errors
    ///
    /// As [`Device::allocate`].
    pub fn allocate_shareable(self: &Arc<Self>, bytes: usize) -> Result<DeviceMemory, CudaError> {
        if bytes == 0 {
            return self.allocate(0);
        }
        self.allocate_from_device(bytes)
    }

    fn allocate_from_device(self: &Arc<Self>, bytes: usize) -> Result<DeviceMemory, CudaError> {
        self.make_current()?;
        let take = || {
            let mut address = 0;
            // SAFETY: writes one address; the context is current.
            unsafe { call!(self.driver(), cuMemAlloc_v2(&mut address, bytes)) }.map(|()| address)
        };
        let taken = take().or_else(|error| {
            if error.code != CudaErrorCode::OutOfMemory {
                return Err(error);
            }
            self.trim()?;
            take()
        });
        let address = taken.map_err(|error| self.full(error, bytes))?;
        Ok(self.hold(address, bytes, Source::Device))
    }

    /// Waits for the device and gives the memory that the pool keeps back to the system, where
    /// other processes can have it.
    ///
    /// # Errors
    ///
    /// Where work before failed, or the driver does.
    pub fn trim(&self) -> Result<(), CudaError> {
        self.synchronize()?;
        let Some((table, pool)) = &self.allocator.pool else { return Ok(()) };
        // SAFETY: the device's own pool.
        unsafe { call!(self.driver(), table, cuMemPoolTrimTo(*pool, 0)) }
    }

    /// Opens another process's memory.
    ///
    /// # Safety
    ///
    /// `handle` is what [`DeviceMemory::ipc_handle`] gave in another process for at least `bytes`
    /// bytes on this device, and that process keeps them until this one has dropped the result.
    /// Opened at most once at a time in this process.
    ///
    /// # Errors
    ///
    /// `Unsupported` where the driver can't share memory, otherwise what it says.
    pub unsafe fn open_ipc(
        self: &Arc<Self>,
        handle: [u8; 64],
        bytes: usize,
    ) -> Result<DeviceMemory, CudaError> {
        let table = self.driver().ipc.ok_or_else(|| no_ipc("cuIpcOpenMemHandle_v2"))?;
        self.make_current()?;
        let mut address = 0;
        let handle = sys::IpcHandle(handle);
        let flags = sys::CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS;
        // SAFETY: writes one address; the caller vouches for the handle.
        unsafe { call!(self.driver(), table, cuIpcOpenMemHandle_v2(&mut address, handle, flags)) }?;
        Ok(self.hold(address, bytes, Source::Ipc))
    }

    fn hold(self: &Arc<Self>, address: u64, bytes: usize, source: Source) -> DeviceMemory {
        if source != Source::Ipc {
            self.allocator.held.fetch_add(bytes as u64, Ordering::Relaxed);
        }
        DeviceMemory { device: self.clone(), address, bytes, source }
    }

    /// Adds to an allocation's failure what was asked and what there is.
    fn full(&self, error: CudaError, bytes: usize) -> CudaError {
        let asked = binary_size(bytes as u64);
        if error.code != CudaErrorCode::OutOfMemory {
            return error.while_doing(format!("allocating {asked} on {}", self.name()));
        }
        let free = match self.free_memory() {
            Ok(free) => binary_size(free),
            Err(error) => format!("an unknown amount ({error})"),
        };
        let message = format!(
            "{asked} asked for on CUDA device {} ({}), of whose {} {free} is free; this process \
             holds {} of it",
            self.index(),
            self.name(),
            binary_size(self.total_memory()),
            binary_size(self.held_memory()),
        );
        CudaError { message, ..error }
    }
}

fn no_ipc(function: &'static str) -> CudaError {
    let message = "the driver can't share memory between processes on this system";
    CudaError::refused(CudaErrorCode::Unsupported, function, message)
}

impl DeviceMemory {
    /// The first byte's address on the device.
    pub fn address(&self) -> u64 {
        self.address
    }

    /// How many bytes there are.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The device.
    pub fn device(&self) -> &Arc<Device> {
        &self.device
    }

    /// What another process opens the block with, by [`Device::open_ipc`].
    ///
    /// # Errors
    ///
    /// `Unsupported` for a block that is not of [`Device::allocate_shareable`], or where the driver
    /// can't share memory.
    pub fn ipc_handle(&self) -> Result<[u8; 64], CudaError> {
        let function = "cuIpcGetMemHandle";
        let table = self.device.driver().ipc.ok_or_else(|| no_ipc(function))?;
        if self.source != Source::Device {
            let message = "only what allocate_shareable gives can be opened by other processes";
            return Err(CudaError::refused(CudaErrorCode::Unsupported, function, message));
        }
        self.device.make_current()?;
        let mut handle = sys::IpcHandle([0; 64]);
        // SAFETY: writes the handle of a live block.
        unsafe {
            call!(self.device.driver(), table, cuIpcGetMemHandle(&mut handle, self.address))
        }?;
        Ok(handle.0)
    }

    fn give_back(&self) -> Result<(), CudaError> {
        let device = &self.device;
        let driver = device.driver();
        device.make_current()?;
        match (self.source, &device.allocator.pool) {
            (Source::Empty, _) => Ok(()),
            (Source::Pool, Some((table, _))) => {
                let stream = device.stream(Stream::Compute);
                // SAFETY: allocated from the pool and freed once; later work doesn't name it.
                unsafe { call!(driver, table, cuMemFreeAsync(self.address, stream)) }
            }
            (Source::Ipc, _) => {
                device.synchronize()?;
                let table = driver.ipc.ok_or_else(|| no_ipc("cuIpcCloseMemHandle"))?;
                // SAFETY: opened once and closed once, and nothing queued uses it.
                unsafe { call!(driver, table, cuIpcCloseMemHandle(self.address)) }
            }
            (Source::Device | Source::Pool, _) => {
                device.synchronize()?;
                // SAFETY: allocated and freed once, and nothing queued uses it.
                unsafe { call!(driver, cuMemFree_v2(self.address)) }
            }
        }
    }
}

impl Drop for DeviceMemory {
    fn drop(&mut self) {
        if matches!(self.source, Source::Pool | Source::Device) {
            self.device.allocator.held.fetch_sub(self.bytes as u64, Ordering::Relaxed);
        }
        // A failure here is one of earlier work, which the next call that waits tells.
        let _ = self.give_back();
    }
}
