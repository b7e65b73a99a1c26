//! Scaled dot-product attention by cuDNN's backend API.
//!
//! The graph is one operation (`CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR`), which cuDNN computes on
//! every device from compute capability 8.0 on since version 9.13.1. What it takes otherwise to
//! compose attention of products, reductions and pointwise operations, as older versions want it, is
//! left out.
//!
//! cuDNN chooses by the shape, the number of rows among it, how it computes, and promises nothing
//! of a row among other rows: its results may change in last bits where a video is split.

mod attention;
mod descriptor;
mod library;
mod plan;
mod sys;

pub use attention::{
    ALIGNMENT, AttentionAddresses, AttentionShape, HEAD_SIZE_STEP, MAX_HEAD_SIZE, Strides,
};
pub use library::{CudnnLibrary, Version};

pub(crate) use library::accept;

use crate::device::{Device, Stream};
use crate::error::{CudaError, CudaErrorCode};
use crate::lock;
use descriptor::Descriptor;
use library::call;
use plan::{Plan, Target};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use sys::Handle;

/// Plans that are remembered, before all are forgotten: each holds a kernel on the device. A model
/// asks for three shapes, and for as many again with every size of a video.
const REMEMBERED: usize = 64;

/// cuDNN on one device, on whose compute stream its work runs.
pub struct Cudnn {
    // Fields are dropped in this order.
    plans: Mutex<HashMap<AttentionShape, Plan>>,
    handle: LibraryHandle,
}

struct LibraryHandle {
    handle: Handle,
    library: Arc<CudnnLibrary>,
    device: Arc<Device>,
}

// SAFETY: the handle belongs to no thread; `Cudnn::attention` lets one at a time use it.
unsafe impl Send for LibraryHandle {}
// SAFETY: as above.
unsafe impl Sync for LibraryHandle {}

impl Drop for LibraryHandle {
    fn drop(&mut self) {
        // Nobody is left to be told of a failure.
        let _ = self.device.make_current();
        // SAFETY: created in `Cudnn::new`, destroyed once, its work done.
        let _ = unsafe { call!(self.library, cudnnDestroy(self.handle)) };
    }
}

impl Drop for Cudnn {
    fn drop(&mut self) {
        // Kernels go with their plans, and may be at work.
        let _ = self.handle.device.synchronize();
    }
}

impl Cudnn {
    /// Prepares a library for a device.
    ///
    /// # Errors
    ///
    /// What the library says, such as that it doesn't know the device or finds its driver too old.
    pub fn new(library: CudnnLibrary, device: &Arc<Device>) -> Result<Cudnn, CudaError> {
        device.make_current()?;
        let library = Arc::new(library);
        let mut handle = Handle(std::ptr::null_mut());
        // SAFETY: writes one handle, for the context that is current.
        unsafe { call!(library, cudnnCreate(&mut handle)) }?;
        let handle = LibraryHandle { handle, library, device: device.clone() };
        let stream = device.stream(Stream::Compute);
        // SAFETY: a live handle and a stream of its device, which outlives it.
        unsafe { call!(handle.library, cudnnSetStream(handle.handle, stream)) }?;
        Ok(Cudnn { plans: Mutex::default(), handle })
    }

    /// The library.
    pub fn library(&self) -> &CudnnLibrary {
        &self.handle.library
    }

    /// Queues output = softmax(scale · query · keyᵀ) · value on the device's compute stream, and the
    /// natural logarithm of the sum of each row's exponentials where the shape says so.
    ///
    /// The first of a shape takes up to a second, in which cuDNN compiles its kernel.
    ///
    /// # Safety
    ///
    /// The addresses are of as many elements of this device's memory as `shape` says, which live
    /// until the work is done; what is written overlaps nothing else.
    ///
    /// # Errors
    ///
    /// `Unsupported` for what [`AttentionShape`] doesn't allow, and where cuDNN has no way of
    /// computing it on this device; `OutOfMemory`; otherwise what the library says.
    pub unsafe fn attention(
        &self,
        shape: &AttentionShape,
        addresses: &AttentionAddresses,
        scale: f32,
    ) -> Result<(), CudaError> {
        let LibraryHandle { handle, library, device } = &self.handle;
        let run = || {
            shape.check()?;
            let AttentionAddresses { query, key, value, output, log_sum_exp } = *addresses;
            let aligned = |address: &u64| address.is_multiple_of(ALIGNMENT as u64);
            if ![query, key, value, output, log_sum_exp].iter().all(aligned) {
                let message = format!("{addresses:x?} must be multiples of {ALIGNMENT}");
                return Err(CudaError::refused(
                    CudaErrorCode::Unsupported,
                    "cudnnBackendExecute",
                    message,
                ));
            }
            device.make_current()?;
            let mut plans = lock(&self.plans);
            if !plans.contains_key(shape) {
                if plans.len() >= REMEMBERED {
                    device.synchronize()?;
                    plans.clear();
                }
                plans.insert(*shape, Plan::new(library, &Target::Device(*handle), shape)?);
            }
            let plan = &plans[shape];
            let scratch = match plan.workspace_bytes() {
                0 => None,
                bytes => Some(device.allocate(bytes)?),
            };
            let workspace = scratch.as_ref().map_or(0, |memory| memory.address());
            // SAFETY: the caller vouches for the addresses; scratch memory goes back in the stream's
            // order, after this.
            unsafe { plan.run(*handle, addresses, scale, workspace) }
        };
        run().map_err(|error| error.while_doing(shape.describe()))
    }
}

impl CudnnLibrary {
    /// Has the library make a plan for a device that need not be here, as for one that is: bytes of
    /// scratch memory that it takes.
    ///
    /// The library loads the plan's kernel all the same, so that it wants a driver, if only one that
    /// takes kernels and never runs any.
    ///
    /// # Errors
    ///
    /// `Unsupported` where the library has no way of computing the attention on such a device;
    /// otherwise what the library says, such as what it misses in `description`.
    pub fn plan_for(
        self: &Arc<Self>,
        description: &str,
        shape: &AttentionShape,
    ) -> Result<usize, CudaError> {
        let device = Descriptor::new(self, sys::CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR)?;
        let text = [description.as_bytes(), &[0]].concat();
        device.set(sys::CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, &text)?;
        let device = device.finalized()?;
        let plan = Plan::new(self, &Target::Described(&device), shape);
        plan.map(|plan| plan.workspace_bytes()).map_err(|error| error.while_doing(shape.describe()))
    }
}
