//! Plans: the way that the library chose to compute a graph.

use super::attention::{AttentionAddresses, AttentionShape};
use super::attention::{KEY, LOG_SUM_EXP, OUTPUT, QUERY, SCALE, VALUE};
use super::descriptor::Descriptor;
use super::library::{CudnnLibrary, call};
use super::sys::{self, Handle};
use crate::error::{CudaError, CudaErrorCode};
use std::ffi::c_void;
use std::sync::Arc;

/// Ways of computing a graph that are asked for and tried, the quickest first.
const MOST_WAYS: usize = 8;

/// What a plan is for.
pub(super) enum Target<'a> {
    /// The device that is current.
    Device(Handle),
    /// One that need not be here.
    Described(&'a Descriptor),
}

/// A way of computing an attention on a device.
pub(super) struct Plan {
    plan: Descriptor,
    /// What the plan was made of. NVIDIA's manual doesn't say that a plan holds it.
    _way: Descriptor,
    workspace_bytes: usize,
    log_sum_exp: bool,
}

impl Plan {
    /// Asks the library for its ways of computing the attention, and makes a plan of the first that
    /// can be made one. Takes up to a second: the library compiles its kernel.
    pub fn new(
        library: &Arc<CudnnLibrary>,
        target: &Target<'_>,
        shape: &AttentionShape,
    ) -> Result<Plan, CudaError> {
        let operation = shape.operation(library)?;
        let graph = Descriptor::new(library, sys::CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR)?;
        graph.set_descriptors(sys::CUDNN_ATTR_OPERATIONGRAPH_OPS, &[&operation])?;
        if let Target::Device(handle) = target {
            graph.set(sys::CUDNN_ATTR_OPERATIONGRAPH_HANDLE, &[*handle])?;
        }
        let graph = graph.finalized()?;
        let mut refused = None;
        for mode in [sys::CUDNN_HEUR_MODE_A, sys::CUDNN_HEUR_MODE_FALLBACK] {
            let ways = Descriptor::new(library, sys::CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR)?;
            ways.set_descriptors(sys::CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, &[&graph])?;
            ways.set(sys::CUDNN_ATTR_ENGINEHEUR_MODE, &[mode])?;
            if let Target::Described(device) = target {
                ways.set_descriptors(sys::CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, &[device])?;
            }
            let ways = ways.finalized()?;
            let kind = sys::CUDNN_BACKEND_ENGINECFG_DESCRIPTOR;
            for way in ways.descriptors(sys::CUDNN_ATTR_ENGINEHEUR_RESULTS, kind, MOST_WAYS)? {
                match Plan::of(library, target, way, shape.log_sum_exp) {
                    Ok(plan) => return Ok(plan),
                    Err(error) => refused = refused.or(Some(error)),
                }
            }
        }
        Err(refused.unwrap_or_else(|| {
            let message = "cuDNN has no way of computing it here; where it should, NVRTC of \
                           cuDNN's CUDA version may be missing (pip: nvidia-cuda-nvrtc)";
            CudaError::refused(CudaErrorCode::Unsupported, "cudnnBackendGetAttribute", message)
        }))
    }

    fn of(
        library: &Arc<CudnnLibrary>,
        target: &Target<'_>,
        way: Descriptor,
        log_sum_exp: bool,
    ) -> Result<Plan, CudaError> {
        let plan = Descriptor::new(library, sys::CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR)?;
        plan.set_descriptors(sys::CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, &[&way])?;
        match target {
            Target::Device(handle) => {
                plan.set(sys::CUDNN_ATTR_EXECUTION_PLAN_HANDLE, &[*handle])?;
            }
            Target::Described(device) => {
                plan.set_descriptors(sys::CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, &[device])?;
            }
        }
        let plan = plan.finalized()?;
        let bytes = plan.number(sys::CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE)?;
        let workspace_bytes = usize::try_from(bytes).unwrap_or(0);
        Ok(Plan { plan, _way: way, workspace_bytes, log_sum_exp })
    }

    /// Bytes of scratch memory that running it takes.
    pub fn workspace_bytes(&self) -> usize {
        self.workspace_bytes
    }

    /// Queues it on the handle's stream.
    ///
    /// # Safety
    ///
    /// The plan was made for the handle, whose device is current; addresses are of that device's
    /// memory, of the sizes that the plan's shape says and `workspace` of [`Plan::workspace_bytes`],
    /// and live until the work is done. What is written overlaps nothing else.
    pub unsafe fn run(
        &self,
        handle: Handle,
        addresses: &AttentionAddresses,
        mut scale: f32,
        workspace: u64,
    ) -> Result<(), CudaError> {
        let place = |address: u64| address as *mut c_void;
        let mut ids = vec![QUERY, KEY, VALUE, OUTPUT, SCALE];
        let mut places = vec![
            place(addresses.query),
            place(addresses.key),
            place(addresses.value),
            place(addresses.output),
            std::ptr::from_mut(&mut scale).cast(),
        ];
        if self.log_sum_exp {
            ids.push(LOG_SUM_EXP);
            places.push(place(addresses.log_sum_exp));
        }
        let library = self.plan.library();
        let pack = Descriptor::new(library, sys::CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR)?;
        pack.set(sys::CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, &ids)?;
        pack.set(sys::CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, &places)?;
        pack.set(sys::CUDNN_ATTR_VARIANT_PACK_WORKSPACE, &[place(workspace)])?;
        let pack = pack.finalized()?;
        // SAFETY: the caller vouches for handle and addresses; `scale` is read before this returns.
        unsafe { call!(library, cudnnBackendExecute(handle, self.plan.handle(), pack.handle())) }
    }
}
