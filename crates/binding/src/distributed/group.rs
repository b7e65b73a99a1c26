//! Process groups: collectives as operations of the stream.

use super::{from_transport, lock};
use crate::error;
use crate::stream::cpu;
use crate::tensor::{NativeTensor, to_dtype, to_numbers, to_size, to_sizes};
use napi::bindgen_prelude::*;
use napi_derive::napi;
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;
use tensor_runtime::{DType, OutputBytes, RuntimeError, Tensor, Traffic};
use transport::{
    Buffer, BufferMut, Call, Memory, Operation, OperationKind, Peer, ProcessGroup, TransportError,
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
    failure: Arc<Mutex<Option<TransportError>>>,
}

/// Fails the group where the stream never comes to a collective: its input failed, or it was
/// cancelled. Others would wait for it until their deadline.
struct Ticket {
    group: Arc<dyn ProcessGroup>,
    collective: &'static str,
    /// Dropped on the thread that submits, nothing was skipped: the call was refused, and threw.
    submitted_by: ThreadId,
    reached: bool,
}

impl Ticket {
    /// The stream has come to the collective.
    fn reach(mut self) {
        self.reached = true;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.reached && std::thread::current().id() != self.submitted_by {
            let Ticket { group, collective, .. } = self;
            group.abandon(&format!("{collective} was skipped: its input failed or was cancelled"));
        }
    }
}

impl NativeProcessGroup {
    /// A handle to `group`; its first failure goes to `failure`.
    pub(super) fn new(
        group: Arc<dyn ProcessGroup>,
        failure: Arc<Mutex<Option<TransportError>>>,
    ) -> Self {
        NativeProcessGroup { group, failure }
    }

    fn submit(
        &self,
        operation: Operation,
        extents: Vec<usize>,
        input: Option<&Tensor>,
        output: (DType, Vec<usize>),
    ) -> Result<NativeTensor> {
        let name = operation.kind().name();
        let dtype = input.map_or(output.0, Tensor::dtype);
        let (sent, received) =
            operation.elements(self.group.index(), self.group.size()).ok_or_else(|| {
                let expected = format!("fitting a group of {} members", self.group.size());
                error::argument(name, "sizes", expected, format!("{operation:?}"))
            })?;
        let held = input.map_or(0, |input| input.layout().count());
        if held != sent {
            let expected = format!("of {sent} elements, as its sizes say");
            return Err(error::argument(name, "input", expected, format!("of {held}")));
        }
        let room: usize = output.1.iter().product();
        if room != received && received > 0 {
            let expected = format!("of {received} elements, as its sizes say");
            return Err(error::argument(name, "output", expected, format!("{:?}", output.1)));
        }
        let group = self.group.clone();
        let submitted_by = std::thread::current().id();
        let ticket =
            Ticket { group: group.clone(), collective: name, submitted_by, reached: false };
        let failure = self.failure.clone();
        let run = move |inputs: &[&[u8]], output: OutputBytes, interrupted: &dyn Fn() -> bool| {
            ticket.reach();
            let target = BufferMut {
                memory: Memory::Host,
                address: output.address,
                bytes: received * dtype.size(),
            };
            let source = inputs.first().map_or(Buffer::EMPTY, |bytes| Buffer::of(bytes));
            let kind = operation.kind();
            let call = Call { operation, dtype, shape: extents, source, target };
            let (began, before) = (cpu().clock(), moved(group.as_ref(), kind));
            // SAFETY: the stream keeps inputs and output for as long as this runs, and nobody
            // writes the ones or touches the other meanwhile.
            let outcome =
                unsafe { group.start(call) }.and_then(|pending| pending.complete(interrupted));
            let after = moved(group.as_ref(), kind);
            let traffic = Traffic {
                group: group.label().to_owned(),
                bytes_sent: after.0 - before.0,
                bytes_received: after.1 - before.1,
            };
            cpu().record(name, began, traffic);
            if received == 0 {
                // A token that tells only whether the collective came to pass.
                // SAFETY: the output has these bytes.
                unsafe { output.address.write_bytes(0, output.bytes) };
            }
            outcome.map_err(|error| {
                let message = error.to_string();
                lock(&failure).get_or_insert(error);
                RuntimeError::new(tensor_runtime::ErrorCode::Collective, name, "", "", message)
            })
        };
        let inputs: Vec<Tensor> = input.into_iter().cloned().collect();
        cpu()
            .submit_external(name, &inputs, output, run)
            .map(NativeTensor::from)
            .map_err(error::from_runtime)
    }
}

/// Bytes that a group's collectives of one kind have sent and received so far.
fn moved(group: &dyn ProcessGroup, kind: OperationKind) -> (u64, u64) {
    let entry = group.ledger().get(kind);
    (entry.bytes_sent, entry.bytes_received)
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
        cpu().synchronize();
        let group = self.group.split(&label, &parts).map_err(from_transport)?;
        Ok(group.map(|group| NativeProcessGroup { group, failure: self.failure.clone() }))
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

    /// A token that is computed once all members have come.
    #[napi(catch_unwind)]
    pub fn barrier(&self) -> Result<NativeTensor> {
        self.submit(Operation::Barrier, Vec::new(), None, (DType::UInt8, vec![1]))
    }

    /// The tensor of member `root`, which alone gives one.
    #[napi(catch_unwind)]
    pub fn broadcast(
        &self,
        input: Option<&NativeTensor>,
        root: f64,
        dtype: String,
        shape: Vec<f64>,
    ) -> Result<NativeTensor> {
        let root = to_size("broadcast", "root", root)?;
        let shape = to_sizes("broadcast", "shape", &shape)?;
        let dtype = to_dtype("broadcast", &dtype)?;
        let operation = Operation::Broadcast { root, count: shape.iter().product() };
        let input = input.map(NativeTensor::get).transpose()?;
        self.submit(operation, shape.clone(), input, (dtype, shape))
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

    /// `input` to member `to` and a tensor from member `from`; without `from` a token.
    #[napi(catch_unwind)]
    pub fn exchange(
        &self,
        input: Option<&NativeTensor>,
        to: Option<f64>,
        from: Option<f64>,
        dtype: String,
        shape: Vec<f64>,
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
        self.submit(Operation::Exchange { to, from }, Vec::new(), input, output)
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
