//! Ranks with a device each.

use crate::movement::{Failure, Movement};
use crate::watch::Watch;
use cuda::Stream;
use cuda::nccl::{Communicator, NcclErrorCode};
use cuda_kernels::{DeviceView, Gpu};
use std::sync::Arc;
use std::time::{Duration, Instant};
use transport::{Agreement, ErrorCode, Operation, ProcessGroup, TransportError};

/// How long to wait for the group to name the rank behind a failure of NCCL's, which is often told of it
/// before the group sees that a rank has died.
const NAMING: Duration = Duration::from_secs(2);

/// Ranks that exchange tensors of their devices, as one of them has it.
pub struct DeviceGroup {
    group: Arc<dyn ProcessGroup>,
    communicator: Arc<Communicator>,
    gpu: Arc<Gpu>,
    watch: Arc<Watch>,
}

impl DeviceGroup {
    pub(crate) fn new(
        group: Arc<dyn ProcessGroup>,
        communicator: Arc<Communicator>,
        gpu: Arc<Gpu>,
        watch: Arc<Watch>,
    ) -> DeviceGroup {
        watch.add(&communicator);
        DeviceGroup { group, communicator, gpu, watch }
    }

    /// The device's number, as this process counts.
    pub fn device_index(&self) -> usize {
        self.gpu.device().index()
    }

    /// Whether an operation goes from device to device; those that add don't.
    pub fn moves(operation: &Operation) -> bool {
        !matches!(operation, Operation::AllReduce { .. } | Operation::ReduceScatter { .. })
    }

    /// The same of new groups of this one's members: `group` is what [`ProcessGroup::split`] gave for
    /// `parts` of this one. All members call it.
    ///
    /// # Errors
    ///
    /// Where NCCL fails.
    pub fn split(
        &self,
        group: Option<&Arc<dyn ProcessGroup>>,
        parts: &[Vec<usize>],
    ) -> Result<Option<DeviceGroup>, TransportError> {
        let index = self.group.index();
        let part = parts.iter().position(|part| part.contains(&index));
        let place = part.and_then(|part| parts[part].iter().position(|member| *member == index));
        let (color, key) = (part.map(|part| part as u32), place.unwrap_or(0) as u32);
        let child = self
            .communicator
            .split(color, key)
            .map_err(|error| self.failed("split", &Failure::Nccl(error)))?;
        Ok(child.zip(group).map(|(communicator, group)| {
            let (gpu, watch) = (self.gpu.clone(), self.watch.clone());
            DeviceGroup::new(group.clone(), Arc::new(communicator), gpu, watch)
        }))
    }

    /// Waits until all members have come to the collective and compared it, then queues it on `stream`:
    /// `sources` and `targets` are contiguous tensors of the device, as [`transport::Call`] has them, none
    /// where a member sends or receives nothing.
    ///
    /// # Errors
    ///
    /// What the group says; where NCCL or the driver fails, the rank behind it if one is known.
    ///
    /// # Safety
    ///
    /// Until what is queued is done the sources aren't written, nobody else uses the targets, and neither
    /// is given back.
    pub unsafe fn run(
        &self,
        agreement: Agreement,
        stream: Stream,
        sources: &[DeviceView],
        targets: &[DeviceView],
        interrupted: &dyn Fn() -> bool,
    ) -> Result<(), TransportError> {
        let Agreement { operation, dtype, .. } = agreement.clone();
        self.group.agree(agreement)?.complete(interrupted)?;
        let movement = Movement {
            communicator: &self.communicator,
            gpu: &self.gpu,
            stream,
            dtype,
            index: self.group.index(),
            size: self.group.size(),
        };
        // SAFETY: the caller's promise; the members have agreed on the sizes.
        unsafe { movement.queue(&operation, sources, targets) }
            .map_err(|failure| self.failed(operation.kind().name(), &failure))
    }

    /// A failure on the way between devices, which ends the run: the others wait for this device.
    fn failed(&self, collective: &'static str, failure: &Failure) -> TransportError {
        let rank = self.group.members()[self.group.index()];
        let others = matches!(failure, Failure::Nccl(error) if matches!(
            error.code,
            NcclErrorCode::Remote
                | NcclErrorCode::System
                | NcclErrorCode::Deadline
                | NcclErrorCode::CalledOff
        ));
        let begin = Instant::now();
        while others && begin.elapsed() < NAMING {
            if let Some(known) = self.group.failure() {
                return TransportError { collective, ..known };
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.group.abandon(&failure.to_string());
        let error = TransportError::new(ErrorCode::System, rank, "", failure.to_string());
        TransportError { collective, ..error }
    }
}
