//! A device: its primary context, its streams, what it can do.

use crate::driver::{Driver, call};
use crate::error::{CudaError, CudaErrorCode};
use crate::memory::Allocator;
use crate::module::{Argument, Function};
use crate::staging::Staging;
use crate::sys::{self, ContextHandle, DeviceNumber, StreamHandle};
use std::ffi::{CStr, c_int, c_void};
use std::sync::Arc;

/// Dynamic shared memory that a kernel may use without asking for more.
const SHARED_BYTES_WITHOUT_ASKING: u32 = 48 << 10;

/// A queue of the device's work. What is on one runs in order; between the two only events order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Kernels, allocations, and copies that say nothing else.
    Compute,
    /// Copies that run while kernels do.
    Copy,
}

/// A CUDA device with its primary context, which libraries such as cuBLASLt share.
///
/// Work is queued: a call returns when the driver has taken it. A failure of the work itself is
/// told by a later call. Calls may come from any thread.
pub struct Device {
    driver: Arc<Driver>,
    index: usize,
    number: DeviceNumber,
    name: String,
    compute_capability: (u32, u32),
    multiprocessors: u32,
    total_memory: u64,
    shared_memory_per_block: u32,
    uuid: Option<[u8; 16]>,
    context: ContextHandle,
    compute: StreamHandle,
    copies: StreamHandle,
    pub(crate) allocator: Allocator,
    pub(crate) staging: Staging,
}

impl Device {
    /// Opens the device of that index, as the driver counts them: retains its primary context,
    /// makes its streams and its memory pool.
    ///
    /// # Errors
    ///
    /// `NoDevice` with how many there are; otherwise what the driver says.
    pub fn open(driver: &Arc<Driver>, index: usize) -> Result<Arc<Device>, CudaError> {
        let count = driver.device_count()?;
        if index >= count {
            let devices = match count {
                0 => "the driver knows of none".to_owned(),
                1 => "there is one, number 0".to_owned(),
                _ => format!("there are {count}, from 0 to {}", count - 1),
            };
            let message = format!("no CUDA device {index}: {devices}");
            return Err(CudaError::refused(CudaErrorCode::NoDevice, "cuDeviceGet", message));
        }
        let traits = DeviceTraits::of(driver, index)?;
        let mut context = ContextHandle::NULL;
        // SAFETY: writes one handle; `traits.number` is a device's.
        unsafe { call!(driver, cuDevicePrimaryCtxRetain(&mut context, traits.number)) }
            .map_err(|error| error.while_doing(format!("opening CUDA device {index}")))?;
        let mut device = Device {
            driver: driver.clone(),
            index,
            number: traits.number,
            name: traits.name,
            compute_capability: traits.compute_capability,
            multiprocessors: traits.multiprocessors,
            total_memory: traits.total_memory,
            shared_memory_per_block: traits.shared_memory_per_block,
            uuid: traits.uuid,
            context,
            compute: StreamHandle::NULL,
            copies: StreamHandle::NULL,
            allocator: Allocator::none(),
            staging: Staging::default(),
        };
        // From here on the drop takes back what was made, whatever fails.
        device.make_current()?;
        for stream in [&mut device.compute, &mut device.copies] {
            // Streams that wait for the default one would wait for other libraries' work.
            // SAFETY: writes one handle; the context is current.
            unsafe { call!(driver, cuStreamCreate(stream, sys::CU_STREAM_NON_BLOCKING)) }?;
        }
        device.allocator = Allocator::new(driver, device.number, traits.memory_pools)?;
        Ok(Arc::new(device))
    }

    /// The driver that the device was opened with.
    pub fn driver(&self) -> &Arc<Driver> {
        &self.driver
    }

    /// The device's index, as the driver counts.
    pub fn index(&self) -> usize {
        self.index
    }

    /// What NVIDIA calls it: `NVIDIA H200`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The compute capability, as (major, minor).
    pub fn compute_capability(&self) -> (u32, u32) {
        self.compute_capability
    }

    /// How many streaming multiprocessors it has.
    pub fn multiprocessors(&self) -> u32 {
        self.multiprocessors
    }

    /// Bytes of its memory.
    pub fn total_memory(&self) -> u64 {
        self.total_memory
    }

    /// Bytes of shared memory that one block can have at most.
    pub fn shared_memory_per_block(&self) -> u32 {
        self.shared_memory_per_block
    }

    /// Which piece of hardware it is, the same in every process; `None` where the driver can't say.
    pub fn uuid(&self) -> Option<[u8; 16]> {
        self.uuid
    }

    /// Bytes of its memory that nobody holds. Freed memory that this device's pool keeps for later
    /// counts as held, until [`Device::trim`].
    ///
    /// # Errors
    ///
    /// Where the driver fails.
    pub fn free_memory(&self) -> Result<u64, CudaError> {
        self.make_current()?;
        let (mut free, mut total) = (0, 0);
        // SAFETY: writes two numbers; the context is current.
        unsafe { call!(self.driver, cuMemGetInfo_v2(&mut free, &mut total)) }?;
        Ok(free as u64)
    }

    /// Waits until all work on both streams is done.
    ///
    /// # Errors
    ///
    /// Where any of that work failed.
    pub fn synchronize(&self) -> Result<(), CudaError> {
        self.make_current()?;
        for stream in self.streams() {
            // SAFETY: the device's own stream.
            unsafe { call!(self.driver, cuStreamSynchronize(stream)) }?;
        }
        Ok(())
    }

    /// Whether everything that was queued on a stream is done; doesn't wait.
    ///
    /// # Errors
    ///
    /// Where any of that work failed.
    pub fn is_done(&self, stream: Stream) -> Result<bool, CudaError> {
        self.make_current()?;
        // SAFETY: the device's own stream.
        let status = unsafe { (self.driver.functions.cuStreamQuery)(self.stream(stream)) };
        match status {
            sys::CUDA_ERROR_NOT_READY => Ok(false),
            _ => self.driver.check("cuStreamQuery", status).map(|()| true),
        }
    }

    /// Queues a kernel on the compute stream: `grid` blocks of `threads` threads, each with
    /// `shared_bytes` bytes of dynamic shared memory.
    ///
    /// # Safety
    ///
    /// `arguments` are those that the kernel declares, in order; all that it reads and writes
    /// through them is memory of this device that lives until the kernel has run.
    ///
    /// # Errors
    ///
    /// `Unsupported` where a block can't have that much shared memory, otherwise what the driver
    /// says.
    pub unsafe fn launch(
        &self,
        function: &Function,
        grid: [u32; 3],
        threads: u32,
        shared_bytes: u32,
        arguments: &[Argument],
    ) -> Result<(), CudaError> {
        let describe = || {
            let name = function.name().to_string_lossy();
            format!("kernel {name}, grid {grid:?}, {threads} threads, {shared_bytes} bytes shared")
        };
        if !std::ptr::eq(self, Arc::as_ptr(function.module().device())) {
            let message = format!("{}: loaded on another device", describe());
            return Err(CudaError::refused(CudaErrorCode::Failed, "cuLaunchKernel", message));
        }
        if shared_bytes > self.shared_memory_per_block {
            let most = self.shared_memory_per_block;
            let message = format!("{}: {} has {most} for a block", describe(), self.name);
            return Err(CudaError::refused(CudaErrorCode::Unsupported, "cuLaunchKernel", message));
        }
        self.make_current()?;
        if shared_bytes > SHARED_BYTES_WITHOUT_ASKING {
            function.allow_shared_bytes(shared_bytes)?;
        }
        let mut parameters: Vec<*mut c_void> = arguments.iter().map(Argument::pointer).collect();
        // SAFETY: the driver reads each argument by the size that the kernel declares, which the
        // caller vouches for, before it returns.
        unsafe {
            call!(
                self.driver,
                cuLaunchKernel(
                    function.handle(),
                    grid[0],
                    grid[1],
                    grid[2],
                    threads,
                    1,
                    1,
                    shared_bytes,
                    self.compute,
                    parameters.as_mut_ptr(),
                    std::ptr::null_mut(),
                )
            )
        }
        .map_err(|error| error.while_doing(describe()))
    }

    /// Makes the context the calling thread's, as the driver's functions want it.
    pub(crate) fn make_current(&self) -> Result<(), CudaError> {
        // SAFETY: the context is retained for as long as `self` lives.
        unsafe { call!(self.driver, cuCtxSetCurrent(self.context)) }
    }

    /// Both streams; fewer where opening the device failed midway.
    fn streams(&self) -> impl Iterator<Item = StreamHandle> {
        [self.compute, self.copies].into_iter().filter(|stream| *stream != StreamHandle::NULL)
    }

    pub(crate) fn stream(&self, stream: Stream) -> StreamHandle {
        match stream {
            Stream::Compute => self.compute,
            Stream::Copy => self.copies,
        }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // Nobody is left to be told of failures here; one that counts was told where it was waited
        // for. A device that failed, or a process at its end, refuses these calls.
        let _ = self.make_current();
        let _ = self.synchronize();
        self.staging.release(&self.driver);
        self.allocator.release(&self.driver);
        for stream in self.streams() {
            // SAFETY: made in `open`, destroyed once; nothing that holds the device is left.
            let _ = unsafe { call!(self.driver, cuStreamDestroy_v2(stream)) };
        }
        // SAFETY: retained once in `open`.
        let _ = unsafe { call!(self.driver, cuDevicePrimaryCtxRelease_v2(self.number)) };
    }
}

/// What the driver tells of a device without a context.
pub(crate) struct DeviceTraits {
    pub number: DeviceNumber,
    pub name: String,
    pub compute_capability: (u32, u32),
    pub multiprocessors: u32,
    pub total_memory: u64,
    pub shared_memory_per_block: u32,
    pub memory_pools: bool,
    pub uuid: Option<[u8; 16]>,
}

impl DeviceTraits {
    /// Those of the device of that index, which is below the driver's count.
    pub(crate) fn of(driver: &Driver, index: usize) -> Result<DeviceTraits, CudaError> {
        let mut number = 0;
        // SAFETY: writes one number.
        unsafe { call!(driver, cuDeviceGet(&mut number, index as c_int)) }?;
        let mut name = [0u8; 256];
        let room = name.len() as c_int;
        // SAFETY: writes at most that many bytes, the last of them zero.
        unsafe { call!(driver, cuDeviceGetName(name.as_mut_ptr().cast(), room, number)) }?;
        let name = CStr::from_bytes_until_nul(&name).unwrap_or_default().to_string_lossy();
        let mut total = 0;
        // SAFETY: writes one number.
        unsafe { call!(driver, cuDeviceTotalMem_v2(&mut total, number)) }?;
        let attribute = |attribute| {
            let mut value = 0;
            // SAFETY: writes one number.
            unsafe { call!(driver, cuDeviceGetAttribute(&mut value, attribute, number)) }?;
            Ok(u32::try_from(value).unwrap_or(0))
        };
        Ok(DeviceTraits {
            number,
            name: name.into_owned(),
            compute_capability: (
                attribute(sys::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
                attribute(sys::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
            ),
            multiprocessors: attribute(sys::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
            total_memory: total as u64,
            shared_memory_per_block: attribute(
                sys::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN,
            )?,
            // A driver without the functions may not know the attribute either.
            memory_pools: driver.pools.is_some()
                && attribute(sys::CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED)? != 0,
            uuid: uuid(driver, number),
        })
    }
}

fn uuid(driver: &Driver, number: DeviceNumber) -> Option<[u8; 16]> {
    let mut uuid = [0; 16];
    let told = match (&driver.part_uuids, &driver.uuids) {
        // SAFETY: writes 16 bytes.
        (Some(table), _) => unsafe { call!(driver, table, cuDeviceGetUuid_v2(&mut uuid, number)) },
        // SAFETY: as above.
        (None, Some(table)) => unsafe { call!(driver, table, cuDeviceGetUuid(&mut uuid, number)) },
        (None, None) => return None,
    };
    told.ok().map(|()| uuid)
}
