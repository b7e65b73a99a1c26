//! The CUDA devices that a stream computes on, opened when they are first asked for.

use crate::copying::Copiers;
use crate::device::Device;
use crate::error::{ErrorCode, RuntimeError};
use crate::memory::MemoryCounters;
use crate::stream::{Stream, lock};
use cuda::cudnn::CudnnLibrary;
use cuda::{CudaError, CudaErrorCode, Device as CudaDevice, Driver, Event, Stream as Queue};
use cuda_kernels::Gpu;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Operations after which a point is marked in a device's queue. Whoever hands over the last of a stretch
/// waits for the mark before, so the device is left with a stretch to do and isn't idle, and no more than
/// two are ever handed over in advance, so cancelled work ends soon.
const STRETCH: usize = 128;

/// The devices of a stream.
#[derive(Default)]
pub(crate) struct Gpus {
    opened: Mutex<Opened>,
    pub(crate) copiers: Copiers,
    /// Why what devices hold is no longer what was computed.
    failure: Mutex<Option<RuntimeError>>,
}

#[derive(Default)]
struct Opened {
    driver: Option<Arc<Driver>>,
    gpus: BTreeMap<usize, OpenGpu>,
}

struct OpenGpu {
    gpu: Arc<Gpu>,
    kernels: Ahead,
    copies: Ahead,
}

/// How far a device's queue is ahead of what the device has done.
#[derive(Default)]
struct Ahead {
    /// Operations since the last mark.
    operations: usize,
    mark: Option<Event>,
}

impl Ahead {
    /// Counts an operation. At the end of a stretch it sets a mark by `record` and gives the one before,
    /// which is to be waited for.
    fn count(
        &mut self,
        record: impl FnOnce() -> Result<Event, CudaError>,
    ) -> Result<Option<Event>, CudaError> {
        self.operations += 1;
        if self.operations < STRETCH {
            return Ok(None);
        }
        self.operations = 0;
        Ok(self.mark.replace(record()?))
    }
}

impl Opened {
    fn driver(&mut self) -> Result<Arc<Driver>, CudaError> {
        if let Some(driver) = &self.driver {
            return Ok(driver.clone());
        }
        let driver = Driver::open()?;
        self.driver = Some(driver.clone());
        Ok(driver)
    }
}

impl Gpus {
    fn open(&self, index: usize) -> Result<Arc<Gpu>, CudaError> {
        let mut opened = lock(&self.opened);
        if let Some(open) = opened.gpus.get(&index) {
            return Ok(open.gpu.clone());
        }
        let driver = opened.driver()?;
        let gpu = Arc::new(Gpu::new(CudaDevice::open(&driver, index)?)?);
        let (kernels, copies) = (Ahead::default(), Ahead::default());
        opened.gpus.insert(index, OpenGpu { gpu: gpu.clone(), kernels, copies });
        Ok(gpu)
    }

    fn driver(&self) -> Result<Arc<Driver>, CudaError> {
        lock(&self.opened).driver()
    }

    /// The device of that index, which was opened before any tensor came to be on it.
    pub(crate) fn opened(&self, index: usize) -> Option<Arc<Gpu>> {
        lock(&self.opened).gpus.get(&index).map(|open| open.gpu.clone())
    }

    /// Refuses devices of which [`Stream::fail_cuda`] was told.
    pub(crate) fn check(&self) -> Result<(), RuntimeError> {
        lock(&self.failure).clone().map_or(Ok(()), Err)
    }

    /// Waits until all devices have done what they were given.
    pub(crate) fn synchronize(&self) -> Result<(), CudaError> {
        let gpus: Vec<_> = lock(&self.opened).gpus.values().map(|open| open.gpu.clone()).collect();
        gpus.iter().try_for_each(|gpu| gpu.device().synchronize())
    }

    /// Counts an operation that was queued on a device's `stream`; waits where too much is queued there.
    pub(crate) fn count_operation(&self, gpu: &Gpu, stream: Queue) -> Result<(), CudaError> {
        let device = gpu.device();
        let before = {
            let mut opened = lock(&self.opened);
            let Some(open) = opened.gpus.get_mut(&device.index()) else { return Ok(()) };
            let ahead = match stream {
                Queue::Compute => &mut open.kernels,
                Queue::Copy => &mut open.copies,
            };
            ahead.count(|| device.record(stream))?
        };
        // Not under the lock: the other queue's thread goes on meanwhile.
        before.map_or(Ok(()), |mark| mark.synchronize())
    }
}

/// An open CUDA device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CudaFacts {
    /// As the driver calls it.
    pub name: String,
    /// Major and minor.
    pub compute_capability: (u32, u32),
    /// Of its processor.
    pub multiprocessors: u32,
    /// Bytes of its memory.
    pub total_bytes: u64,
    /// Bytes that nobody holds.
    pub free_bytes: u64,
    /// The code that its kernels run: compiled for a compute capability, such as
    /// `9.0`, or `ptx`.
    pub kernels: String,
}

impl Stream {
    /// Opens the CUDA device of that index, unless it is open, and tells about it.
    ///
    /// # Errors
    /// `Device` where there is no driver or no such device, `OutOfMemory`, or `Cuda` where the driver
    /// fails.
    pub fn open_cuda(
        &self,
        operation: &'static str,
        index: usize,
    ) -> Result<CudaFacts, RuntimeError> {
        let failed = |error| from_cuda(operation, error);
        let gpu = self.shared.gpus.open(index).map_err(failed)?;
        let device = gpu.device();
        Ok(CudaFacts {
            name: device.name().to_owned(),
            compute_capability: device.compute_capability(),
            multiprocessors: device.multiprocessors(),
            total_bytes: device.total_memory(),
            free_bytes: device.free_memory().map_err(failed)?,
            kernels: gpu.target().to_owned(),
        })
    }

    /// Lets go of a CUDA device and of what it holds for this process; the next use opens it again.
    ///
    /// # Errors
    /// `Argument` while tensors are on any CUDA device.
    pub fn close_cuda(&self, operation: &'static str, index: usize) -> Result<(), RuntimeError> {
        self.synchronize();
        let held = MemoryCounters::now().live_device_bytes;
        if held > 0 {
            let expected = "no tensor on CUDA devices";
            let found = format!("tensors of {held} bytes");
            return Err(RuntimeError::argument(operation, "device", expected, found));
        }
        let gpu = lock(&self.shared.gpus.opened).gpus.remove(&index);
        drop(gpu);
        Ok(())
    }

    /// A CUDA device with its kernels, opened unless it is open: for crates that bring operations along.
    ///
    /// # Errors
    /// As [`Stream::open_cuda`].
    pub fn gpu(&self, operation: &'static str, index: usize) -> Result<Arc<Gpu>, RuntimeError> {
        self.shared.gpus.open(index).map_err(|error| from_cuda(operation, error))
    }

    /// Tells that work on the CUDA devices was called off, so that what they hold may be anything: every
    /// operation on them and every read from them fails with `failure` from now on, or with an earlier one.
    pub fn fail_cuda(&self, failure: RuntimeError) {
        lock(&self.shared.gpus.failure).get_or_insert(failure);
    }

    /// The version of the cuDNN that attention is computed by, such as `9.26.0`. Opens no device.
    ///
    /// # Errors
    /// `Device` with what was tried where there is none, or none that attention can be computed by with
    /// the driver at hand.
    pub fn cudnn_version(&self, operation: &'static str) -> Result<String, RuntimeError> {
        let driver = self.shared.gpus.driver().ok().map(|driver| driver.version());
        CudnnLibrary::open(driver).map(|library| library.version().to_string()).map_err(|error| {
            RuntimeError::new(ErrorCode::Device, operation, "", "", error.to_string())
        })
    }

    /// How many CUDA devices there are; 0 where there is no driver, or it can't be used.
    pub fn count_cuda_devices(&self) -> usize {
        self.shared.gpus.driver().and_then(|driver| driver.device_count()).unwrap_or(0)
    }

    /// Opens `device` where it is a CUDA device. A rehearsal needs none.
    ///
    /// # Errors
    /// As [`Stream::open_cuda`].
    pub(crate) fn open_for(
        &self,
        operation: &'static str,
        device: Device,
    ) -> Result<(), RuntimeError> {
        match device {
            Device::Cuda(index) if !self.is_rehearsing() => {
                self.open_cuda(operation, index).map(drop)
            }
            _ => Ok(()),
        }
    }

    /// Has the stream take its CUDA devices from `driver`, for tests without a device.
    pub fn set_cuda_driver(&self, driver: Arc<Driver>) {
        lock(&self.shared.gpus.opened).driver = Some(driver);
    }
}

/// A failure of the driver or a library in `operation`.
pub(crate) fn from_cuda(operation: &'static str, error: CudaError) -> RuntimeError {
    let code = match error.code {
        CudaErrorCode::NoDriver | CudaErrorCode::NoDevice => ErrorCode::Device,
        CudaErrorCode::OutOfMemory => ErrorCode::OutOfMemory,
        CudaErrorCode::Unsupported | CudaErrorCode::Failed => ErrorCode::Cuda,
    };
    let found = match code {
        ErrorCode::OutOfMemory => error.message.clone(),
        _ => error.to_string(),
    };
    RuntimeError::new(code, operation, "", "", found)
}
