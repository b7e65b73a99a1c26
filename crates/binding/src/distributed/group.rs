//! Process groups: collectives as operations of the stream.

use super::course::Course;
use super::devices::between;
use super::resharding::resharding;
use super::shared_memory::SharedMemory;
use super::{from_transport, lock};
use crate::error;
use crate::stream::cpu;
use crate::tensor::{NativeTensor, to_device, to_dtype, to_numbers, to_size, to_sizes};
use device_collectives::DeviceGroup;
use napi::bindgen_prelude::*;
use napi_derive::napi;
use std::sync::{Arc, Mutex};
use tensor_runtime::{DType, Device, OnDevices, Order, OutputBytes, OutputMemory, Tensor};
use transport::planned::PlannedGroup;
use transport::reshard::Share;
use transport::{
    Agreement, Buffer, BufferMut, Call, Memory, Operation, Peer, ProcessGroup, TransportError,
};

/// Completed collectives of one kind.
#[napi(object, object_from_js = false)]
pub struct NativeLedgerEntry {
    /// The kind, such as `all-to-all`.
    pub collective: &'static str,
    /// Collectives.
    pub count: f64,
    /// Payload bytes to other members.
    pub bytes_sent: f64,
    /// Payload bytes from other members.
    pub bytes_received: f64,
}

/// A list of ranks that call collectives together.
#[napi]
pub struct NativeProcessGroup {
    group: Arc<dyn ProcessGroup>,
    /// The same group, where it is of planned ranks.
    planned: Option<Arc<PlannedGroup>>,
    /// The same group between devices, once these are connected.
    devices: Mutex<Option<Arc<DeviceGroup>>>,
    failure: Arc<Mutex<Option<TransportError>>>,
}

impl NativeProcessGroup {
    /// A handle to `group`; its first failure goes to `failure`.
    pub(super) fn new(
        group: Arc<dyn ProcessGroup>,
        failure: Arc<Mutex<Option<TransportError>>>,
    ) -> Self {
        NativeProcessGroup { group, planned: None, devices: Mutex::default(), failure }
    }

    /// A handle to a group of planned ranks.
    pub(super) fn planned(group: Arc<PlannedGroup>) -> Self {
        let planned = Some(group.clone());
        let devices = Mutex::default();
        NativeProcessGroup { group, planned, devices, failure: Arc::default() }
    }

    /// The group of planned ranks, where it is one.
    pub(super) fn is_planned(&self) -> bool {
        self.planned.is_some()
    }

    /// The group that agrees on what devices exchange.
    pub(super) fn group(&self) -> &Arc<dyn ProcessGroup> {
        &self.group
    }

    /// Has collectives on tensors of CUDA devices go through `devices`.
    pub(super) fn connect(&self, devices: DeviceGroup) {
        *lock(&self.devices) = Some(Arc::new(devices));
    }

    fn submit(
        &self,
        operation: Operation,
        extents: Vec<usize>,
        input: Option<&Tensor>,
        output: (DType, Vec<usize>),
    ) -> Result<NativeTensor> {
        let device = input.map_or(Device::Cpu, Tensor::device);
        self.submit_on(device, operation, extents, input, output)
    }

    /// [`NativeProcessGroup::submit`] with a result on `device`, where the input is if there is one.
    fn submit_on(
        &self,
        device: Device,
        operation: Operation,
        extents: Vec<usize>,
        input: Option<&Tensor>,
        output: (DType, Vec<usize>),
    ) -> Result<NativeTensor> {
        let inputs: Vec<Tensor> = input.into_iter().cloned().collect();
        let mut outputs = self.submit_all(device, operation, extents, inputs, vec![output])?;
        Ok(outputs.remove(0))
    }

    /// Submits a collective on the values of `inputs`, one or none where the operation takes one
    /// buffer. Its result are `outputs`; where it has none, they are a token that tells only whether
    /// it came to pass.
    fn submit_all(
        &self,
        device: Device,
        operation: Operation,
        extents: Vec<usize>,
        inputs: Vec<Tensor>,
        outputs: Vec<(DType, Vec<usize>)>,
    ) -> Result<Vec<NativeTensor>> {
        let name = operation.kind().name();
        let dtype = inputs.first().map_or(outputs[0].0, Tensor::dtype);
        let (sent, received) =
            operation.elements(self.group.index(), self.group.size()).ok_or_else(|| {
                let expected = format!("fitting a group of {} members", self.group.size());
                error::argument(name, "sizes", expected, format!("{operation:?}"))
            })?;
        let tensors = operation.tensors();
        let held: usize = inputs.iter().map(|input| input.layout().count()).sum();
        if held != sent || inputs.len() > tensors {
            let expected = format!("{tensors}, of {sent} elements, as the sizes say");
            let found = format!("{}, of {held}", inputs.len());
            return Err(error::argument(name, "input", expected, found));
        }
        let room: usize = outputs.iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
        if room != received && received > 0 {
            let expected = format!("of {received} elements, as its sizes say");
            return Err(error::argument(name, "output", expected, format!("of {room}")));
        }
        if let Some(planned) = &self.planned {
            if !cpu().is_rehearsing() {
                return Err(from_transport(planned.refuse(name)));
            }
            planned.count(&operation, dtype);
        }
        // Hops are what computation hides. Others' results are read next, and another thread would
        // only add its wake-ups.
        let order = if matches!(operation, Operation::Exchange { .. }) {
            Order::Beside
        } else {
            Order::InTurn
        };
        let course = Course::new(&self.group, &operation, dtype, self.failure.clone());
        let agreement = Agreement { operation: operation.clone(), dtype, shape: extents.clone() };
        let on_devices = OnDevices {
            kernel: between(lock(&self.devices).clone(), device, agreement, received, &course)?,
            // Where the others read what was copied from the device.
            staging: self.group.shares_memory().then(|| -> Arc<dyn OutputMemory> {
                Arc::new(SharedMemory::new(self.group.clone()))
            }),
        };
        let run = move |inputs: &[&[u8]],
                        outputs: &[OutputBytes],
                        interrupted: &dyn Fn() -> bool| {
            let target = |output: &OutputBytes| BufferMut {
                memory: Memory::Host,
                address: output.address,
                bytes: if received > 0 { output.bytes } else { 0 },
            };
            let mut sources: Vec<Buffer> = inputs.iter().map(|bytes| Buffer::of(bytes)).collect();
            sources.resize(tensors, Buffer::EMPTY);
            let targets = outputs.iter().map(target).collect();
            let call = Call { operation, dtype, shape: extents, sources, targets };
            if received == 0 {
                for output in outputs {
                    // SAFETY: the output has these bytes.
                    unsafe { output.address.write_bytes(0, output.bytes) };
                }
            }
            course.run(|group| {
                // SAFETY: the stream keeps inputs and outputs for as long as this runs, and nobody
                // writes the ones or touches the others meanwhile.
                unsafe { group.start(call) }.and_then(|pending| pending.complete(interrupted))
            })
        };
        let outputs =
            cpu().submit_external_on(device, name, &inputs, outputs, order, run, on_devices);
        outputs
            .map(|outputs| outputs.into_iter().map(NativeTensor::from).collect())
            .map_err(error::from_runtime)
    }
}

#[napi]
impl NativeProcessGroup {
    /// The name in messages.
    #[napi(getter, catch_unwind)]
    pub fn label(&self) -> String {
        self.group.label().to_owned()
    }

    /// The ranks, in the group's order.
    #[napi(getter, catch_unwind)]
    pub fn members(&self) -> Vec<f64> {
        to_numbers(self.group.members())
    }

    /// This process's place among them.
    #[napi(getter, catch_unwind)]
    pub fn index(&self) -> u32 {
        self.group.index() as u32
    }

    /// New groups of this one's members; null where this process is in none of them. Waits for the
    /// stream.
    #[napi(catch_unwind)]
    pub fn split(&self, label: String, parts: Vec<Vec<f64>>) -> Result<Option<NativeProcessGroup>> {
        let parts = parts
            .iter()
            .map(|part| to_sizes("split", "parts", part))
            .collect::<Result<Vec<_>>>()?;
        if let Some(planned) = &self.planned {
            let group = planned.part(&label, &parts).map_err(from_transport)?;
            return Ok(group.map(|group| NativeProcessGroup::planned(Arc::new(group))));
        }
        cpu().synchronize();
        let group = self.group.split(&label, &parts).map_err(from_transport)?;
        let devices = match lock(&self.devices).clone() {
            Some(devices) => devices.split(group.as_ref(), &parts).map_err(from_transport)?,
            None => None,
        };
        Ok(group.map(|group| {
            let own = NativeProcessGroup::new(group, self.failure.clone());
            if let Some(devices) = devices {
                own.connect(devices);
            }
            own
        }))
    }

    /// What has been completed so far, by kind.
    #[napi(catch_unwind)]
    pub fn ledger(&self) -> Vec<NativeLedgerEntry> {
        let entry =
            |(kind, entry): (transport::OperationKind, transport::LedgerEntry)| NativeLedgerEntry {
                collective: kind.name(),
                count: entry.count as f64,
                bytes_sent: entry.bytes_sent as f64,
                bytes_received: entry.bytes_received as f64,
            };
        self.group.ledger().entries().map(entry).collect()
    }

    /// Bytes that were copied before other members could have them.
    #[napi(catch_unwind)]
    pub fn staged_bytes(&self) -> f64 {
        self.group.ledger().staged_bytes() as f64
    }

    /// A token that is computed once all members have come.
    #[napi(catch_unwind)]
    pub fn barrier(&self) -> Result<NativeTensor> {
        self.submit(Operation::Barrier, Vec::new(), None, (DType::UInt8, vec![1]))
    }

    /// The tensor of member `root`, which alone gives one; on `device`.
    #[napi(catch_unwind)]
    pub fn broadcast(
        &self,
        input: Option<&NativeTensor>,
        root: f64,
        dtype: String,
        shape: Vec<f64>,
        device: String,
    ) -> Result<NativeTensor> {
        let root = to_size("broadcast", "root", root)?;
        let shape = to_sizes("broadcast", "shape", &shape)?;
        let dtype = to_dtype("broadcast", &dtype)?;
        let operation = Operation::Broadcast { root, count: shape.iter().product() };
        let input = input.map(NativeTensor::get).transpose()?;
        let device = to_device("broadcast", &device)?;
        self.submit_on(device, operation, shape.clone(), input, (dtype, shape))
    }

    /// The members' tensors one after the other along dimension 0, of which they have `sizes`.
    #[napi(catch_unwind)]
    pub fn all_gather(&self, input: &NativeTensor, sizes: Vec<f64>) -> Result<NativeTensor> {
        let input = input.get()?;
        let (rows, shape) = self.rows("all-gather", input, &sizes)?;
        let counts = rows.iter().map(|size| size * shape.iter().product::<usize>()).collect();
        let output = [&[rows.iter().sum()], shape].concat();
        let operation = Operation::AllGather { counts };
        self.submit(operation, shape.to_vec(), Some(input), (input.dtype(), output))
    }

    /// `send[j]` elements to member `j` and `receive[j]` from it; flat.
    #[napi(catch_unwind)]
    pub fn all_to_all(
        &self,
        input: &NativeTensor,
        send: Vec<f64>,
        receive: Vec<f64>,
    ) -> Result<NativeTensor> {
        let input = input.get()?;
        let send = to_sizes("all-to-all", "send", &send)?;
        let receive = to_sizes("all-to-all", "receive", &receive)?;
        let output = vec![receive.iter().sum()];
        let operation = Operation::AllToAll { send, receive };
        self.submit(operation, Vec::new(), Some(input), (input.dtype(), output))
    }

    /// Tensors of one shape and dtype, of which each member holds its share along dimension
    /// `gather_dim`, shared out along `split_dim` instead; `sizes` are the members' extents there.
    #[napi(catch_unwind)]
    pub fn reshard(
        &self,
        inputs: Vec<&NativeTensor>,
        gather_dim: f64,
        gather_sizes: Vec<f64>,
        split_dim: f64,
        split_sizes: Vec<f64>,
    ) -> Result<Vec<NativeTensor>> {
        const NAME: &str = "reshard";
        let share = |name: &str, dim: f64, sizes: &[f64]| -> Result<Share> {
            let (dim, sizes) = (to_size(NAME, name, dim)?, to_sizes(NAME, name, sizes)?);
            Ok(Share { dim, sizes })
        };
        let gather = share("gather", gather_dim, &gather_sizes)?;
        let split = share("split", split_dim, &split_sizes)?;
        let inputs: Vec<Tensor> =
            inputs.into_iter().map(|input| input.get().cloned()).collect::<Result<_>>()?;
        let place = (self.group.index(), self.group.size());
        let (dtype, shape, reshard) = resharding(place, &inputs, gather, split)?;
        let output = (dtype, reshard.shape_after(self.group.index()));
        let outputs = vec![output; inputs.len()];
        let device = inputs[0].device();
        self.submit_all(device, Operation::Reshard(reshard), shape, inputs, outputs)
    }

    /// The sum of the members' tensors.
    #[napi(catch_unwind)]
    pub fn all_reduce(&self, input: &NativeTensor) -> Result<NativeTensor> {
        let input = input.get()?;
        let shape = input.shape().to_vec();
        let operation = Operation::AllReduce { count: input.layout().count() };
        self.submit(operation, shape.clone(), Some(input), (input.dtype(), shape))
    }

    /// This member's rows of the sum of the members' tensors; member `j` gets `sizes[j]` rows.
    #[napi(catch_unwind)]
    pub fn reduce_scatter(&self, input: &NativeTensor, sizes: Vec<f64>) -> Result<NativeTensor> {
        let input = input.get()?;
        let (rows, shape) = self.rows("reduce-scatter", input, &sizes)?;
        let counts = rows.iter().map(|size| size * shape.iter().product::<usize>()).collect();
        let output = [&rows[self.group.index()..=self.group.index()], shape].concat();
        let operation = Operation::ReduceScatter { counts };
        self.submit(operation, shape.to_vec(), Some(input), (input.dtype(), output))
    }

    /// `input` to member `to` and a tensor from member `from`; without `from` a token. On `device`.
    #[napi(catch_unwind)]
    pub fn exchange(
        &self,
        input: Option<&NativeTensor>,
        to: Option<f64>,
        from: Option<f64>,
        dtype: String,
        shape: Vec<f64>,
        device: String,
    ) -> Result<NativeTensor> {
        const NAME: &str = "send-receive";
        let input = input.map(NativeTensor::get).transpose()?;
        let shape = to_sizes(NAME, "shape", &shape)?;
        let dtype = to_dtype(NAME, &dtype)?;
        let member = |name: &str, member: Option<f64>, count: usize| -> Result<Option<Peer>> {
            let Some(member) = member else { return Ok(None) };
            Ok(Some(Peer { member: to_size(NAME, name, member)?, count }))
        };
        let to = member("to", to, input.map_or(0, |input| input.layout().count()))?;
        let from = member("from", from, shape.iter().product())?;
        let output = if from.is_some() { (dtype, shape) } else { (DType::UInt8, vec![1]) };
        // Both sides know the number of elements; extents may differ from hop to hop of a ring.
        let device = to_device(NAME, &device)?;
        self.submit_on(device, Operation::Exchange { to, from }, Vec::new(), input, output)
    }

    fn rows<'a>(
        &self,
        name: &'static str,
        input: &'a Tensor,
        sizes: &[f64],
    ) -> Result<(Vec<usize>, &'a [usize])> {
        let rows = to_sizes(name, "sizes", sizes)?;
        let Some((_, rest)) = input.shape().split_first() else {
            return Err(error::argument(name, "input", "of at least one dimension", "a scalar"));
        };
        if rows.len() != self.group.size() {
            let expected = format!("{} numbers, one for each member", self.group.size());
            return Err(error::argument(name, "sizes", expected, format!("{rows:?}")));
        }
        Ok((rows, rest))
    }
}
