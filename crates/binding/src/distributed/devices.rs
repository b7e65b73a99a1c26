//! Connecting the ranks' CUDA devices.

use super::course::Course;
use super::from_transport;
use super::group::NativeProcessGroup;
use crate::error::{self, from_runtime};
use crate::stream::cpu;
use crate::tensor::to_device;
use cuda::nccl::Nccl;
use device_collectives::{Collectives, DeviceGroup, Joined, join};
use napi::bindgen_prelude::*;
use napi_derive::napi;
use std::sync::Arc;
use tensor_runtime::{Device, DeviceCall, DeviceKernel, ErrorCode, RuntimeError};
use transport::Agreement;

/// How devices exchange.
#[napi(object, object_from_js = false)]
pub struct NativeDeviceCollectives {
    /// `nccl` or `staged`.
    pub kind: &'static str,
    /// NCCL's version, or why it isn't used.
    pub detail: String,
}

#[napi]
impl NativeProcessGroup {
    /// Finds out how the members' devices exchange, and connects them: collectives of this group, and of
    /// those that are made of it from now on, go from device to device where they can. `wanted` is
    /// `nccl`, `staged` or nothing. Waits for the stream and for the other members.
    #[napi(catch_unwind)]
    pub fn connect_devices(
        &self,
        device: String,
        wanted: Option<String>,
    ) -> Result<NativeDeviceCollectives> {
        const NAME: &str = "connectDevice";
        let Device::Cuda(index) = to_device(NAME, &device)? else {
            return Err(error::argument(NAME, "device", "cuda:N", device));
        };
        if self.is_planned() {
            return Err(error::argument(NAME, "ranks", "ranks of a run", "planned ones"));
        }
        let gpu = cpu().gpu(NAME, index).map_err(from_runtime)?;
        cpu().synchronize();
        let failed = |failure: &transport::TransportError| {
            let error = RuntimeError::new(ErrorCode::Collective, NAME, "", "", failure.to_string());
            cpu().fail_cuda(error);
        };
        let joined = join(self.group(), &gpu, Nccl::open(), wanted.as_deref(), failed);
        let Joined { collectives, group } = joined.map_err(from_transport)?;
        if let Some(group) = group {
            self.connect(group);
        }
        let (kind, detail) = match collectives {
            Collectives::Nccl { version } => ("nccl", version),
            Collectives::Staged { reason } => ("staged", reason),
        };
        Ok(NativeDeviceCollectives { kind, detail })
    }
}

/// What queues a collective on `device`, where devices are connected and it goes between them.
pub(super) fn between(
    devices: Option<Arc<DeviceGroup>>,
    device: Device,
    agreement: Agreement,
    received: usize,
    course: &Course,
) -> Result<Option<DeviceKernel>> {
    let (Device::Cuda(index), Some(devices)) = (device, devices) else { return Ok(None) };
    if !DeviceGroup::moves(&agreement.operation) {
        return Ok(None);
    }
    if index != devices.device_index() {
        let expected = format!("on {}, with which the ranks are connected", {
            Device::Cuda(devices.device_index())
        });
        let name = agreement.operation.kind().name();
        return Err(error::argument(name, "input", expected, device));
    }
    let course = course.clone();
    Ok(Some(Box::new(move |call: DeviceCall<'_>| {
        let targets = if received > 0 { call.outputs } else { &[] };
        course.run(|_| {
            // SAFETY: the stream keeps inputs and outputs until what is queued with them is done,
            // and nothing that is queued before then writes the ones or touches the others.
            unsafe { devices.run(agreement, call.stream, call.inputs, targets, call.is_cancelled) }
        })?;
        if received == 0 {
            call.zero_outputs()?;
        }
        Ok(())
    })))
}
