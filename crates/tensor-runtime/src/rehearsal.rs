//! Computations gone through without their values: what they would take, before they run.
//!
//! While a stream rehearses, operations check their arguments and give tensors as always, but nothing
//! is computed and no memory allocated. What would be allocated is counted when the operation would
//! run and until its last view is gone, so a program that is rehearsed tells what it would hold at
//! most, operation by operation, with no model of it beside its own code.
//!
//! An operation counts as run when the program waits for the stream: the program is taken to be far
//! ahead of it, as it is wherever operations are large enough to matter.

use crate::device::Device;
use crate::error::RuntimeError;
use crate::storage::{Backing, Storage};
use crate::stream::{Pending, Stream};
use crate::tensor::Tensor;
use cpu_kernels::DType;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The table of this operation is read by rows, all others' inputs whole.
const GATHER: &str = "embedding";
/// What the system maps around a page of a file that is touched.
const FAULT_AROUND: usize = 64 << 10;

/// Bytes that rehearsed storages would hold.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    allocated: AtomicUsize,
    in_place: AtomicUsize,
    mapped: AtomicUsize,
    on_devices: AtomicUsize,
    peak_allocated: AtomicUsize,
    peak_resident: AtomicUsize,
    peak_on_devices: AtomicUsize,
}

impl Ledger {
    fn allocated(&self) -> usize {
        self.allocated.load(Ordering::Relaxed)
    }

    fn mapped(&self) -> usize {
        self.mapped.load(Ordering::Relaxed)
    }

    fn on_devices(&self) -> usize {
        self.on_devices.load(Ordering::Relaxed)
    }

    fn raise_peaks(&self) {
        self.peak_on_devices.fetch_max(self.on_devices(), Ordering::Relaxed);
        self.peak_allocated.fetch_max(self.allocated(), Ordering::Relaxed);
        self.peak_resident.fetch_max(self.allocated() + self.mapped(), Ordering::Relaxed);
    }

    /// Starts the peaks anew from what is held.
    fn reset_peaks(&self) {
        self.peak_on_devices.store(self.on_devices(), Ordering::Relaxed);
        self.peak_allocated.store(self.allocated(), Ordering::Relaxed);
        self.peak_resident.store(self.allocated() + self.mapped(), Ordering::Relaxed);
    }
}

/// Memory that would be allocated, counted for as long as this lives.
#[derive(Debug)]
pub(crate) struct CountedBlock {
    ledger: Arc<Ledger>,
    device: Device,
    bytes: usize,
}

impl CountedBlock {
    fn allocate(ledger: &Arc<Ledger>, bytes: usize, device: Device) -> CountedBlock {
        let block = CountedBlock { ledger: ledger.clone(), device, bytes };
        block.counter().fetch_add(bytes, Ordering::Relaxed);
        ledger.raise_peaks();
        block
    }

    fn counter(&self) -> &AtomicUsize {
        match self.device {
            Device::Cpu => &self.ledger.allocated,
            Device::Cuda(_) => &self.ledger.on_devices,
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for CountedBlock {
    fn drop(&mut self) {
        self.counter().fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A part of a mapped file, of which the pages that were touched are counted for as long as this
/// lives.
#[derive(Debug)]
pub(crate) struct CountedMap {
    ledger: Arc<Ledger>,
    bytes: usize,
    touched: AtomicUsize,
}

impl CountedMap {
    fn new(ledger: &Arc<Ledger>, bytes: usize) -> CountedMap {
        ledger.in_place.fetch_add(bytes, Ordering::Relaxed);
        CountedMap { ledger: ledger.clone(), bytes, touched: AtomicUsize::new(0) }
    }

    /// Counts `bytes` of it as touched, or what was before where that is more.
    pub(crate) fn touch(&self, bytes: usize) {
        let before = self.touched.fetch_max(bytes, Ordering::Relaxed);
        self.ledger.mapped.fetch_add(bytes.saturating_sub(before), Ordering::Relaxed);
    }
}

impl Drop for CountedMap {
    fn drop(&mut self) {
        self.ledger.in_place.fetch_sub(self.bytes, Ordering::Relaxed);
        self.ledger.mapped.fetch_sub(*self.touched.get_mut(), Ordering::Relaxed);
    }
}

/// Element type and shape of an input or output of a rehearsed operation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Operand {
    /// The element type.
    pub dtype: DType,
    /// Elements along each dimension.
    pub shape: Vec<usize>,
}

/// An operation, with all its runs on operands of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RehearsedOperation {
    /// The operation.
    pub operation: &'static str,
    /// What it reads.
    pub inputs: Vec<Operand>,
    /// What it makes.
    pub outputs: Vec<Operand>,
    /// How often it would run.
    pub count: usize,
    /// The most bytes, allocated and of touched pages of files, that would be held during it.
    pub peak_resident_bytes: usize,
}

/// What was rehearsed since the last look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rehearsed {
    /// Bytes of tensors that would be allocated now.
    pub allocated_bytes: usize,
    /// Bytes of mapped files that tensors read in place now, touched or not.
    pub in_place_bytes: usize,
    /// The part of them that would have been touched.
    pub mapped_bytes: usize,
    /// The most that `allocated_bytes` would have been.
    pub peak_allocated_bytes: usize,
    /// The most that both together would have been.
    pub peak_resident_bytes: usize,
    /// Bytes of tensors that would be allocated on CUDA devices now.
    pub device_bytes: usize,
    /// The most that `device_bytes` would have been.
    pub peak_device_bytes: usize,
    /// The operations, in the order of each kind's first run.
    pub operations: Vec<RehearsedOperation>,
}

type Kind = (&'static str, Vec<Operand>, Vec<Operand>);

struct Waiting {
    name: &'static str,
    inputs: Vec<Tensor>,
    outputs: Vec<Pending>,
}

/// A stream's rehearsal under way.
#[derive(Default)]
pub(crate) struct Rehearsal {
    ledger: Arc<Ledger>,
    waiting: VecDeque<Waiting>,
    operations: Vec<RehearsedOperation>,
    places: HashMap<Kind, usize>,
}

impl Rehearsal {
    /// A storage that would hold `bytes` bytes from now on.
    pub(crate) fn store(&self, bytes: usize) -> Storage {
        Storage::absent(CountedBlock::allocate(&self.ledger, bytes, Device::Cpu))
    }

    /// The count of `bytes` bytes of a mapped file that a tensor reads in place.
    pub(crate) fn map(&self, bytes: usize) -> CountedMap {
        CountedMap::new(&self.ledger, bytes)
    }

    /// Takes an operation that would run once the program waits.
    pub(crate) fn submit(
        &mut self,
        name: &'static str,
        inputs: Vec<Tensor>,
        outputs: Vec<Pending>,
    ) {
        self.waiting.push_back(Waiting { name, inputs, outputs });
    }

    /// Goes through the operations that wait, as the stream would run them.
    pub(crate) fn settle(&mut self) {
        while let Some(operation) = self.waiting.pop_front() {
            self.run(operation);
        }
    }

    fn run(&mut self, Waiting { name, inputs, outputs }: Waiting) {
        for (index, input) in inputs.iter().enumerate() {
            input.storage.touch(touched_bytes(name, index, input, &outputs));
        }
        let blocks: Vec<CountedBlock> = outputs
            .iter()
            .map(|output| {
                let (bytes, device) = (output.storage.bytes(), output.storage.device());
                CountedBlock::allocate(&self.ledger, bytes, device)
            })
            .collect();
        self.ledger.raise_peaks();
        self.record(name, &inputs, &outputs);
        // In the stream's order: inputs go before outputs are told of.
        drop(inputs);
        for (output, block) in outputs.iter().zip(blocks) {
            output.storage.complete_absent(block);
        }
    }

    fn record(&mut self, operation: &'static str, inputs: &[Tensor], outputs: &[Pending]) {
        let resident = self.ledger.allocated() + self.ledger.mapped();
        let inputs: Vec<Operand> = inputs
            .iter()
            .map(|input| Operand { dtype: input.dtype(), shape: input.shape().to_vec() })
            .collect();
        let outputs: Vec<Operand> = outputs
            .iter()
            .map(|output| Operand { dtype: output.dtype, shape: output.shape.clone() })
            .collect();
        let operations = &mut self.operations;
        let place =
            *self.places.entry((operation, inputs.clone(), outputs.clone())).or_insert_with(|| {
                let (count, peak_resident_bytes) = (0, 0);
                let kind =
                    RehearsedOperation { operation, inputs, outputs, count, peak_resident_bytes };
                operations.push(kind);
                operations.len() - 1
            });
        let kind = &mut operations[place];
        kind.count += 1;
        kind.peak_resident_bytes = kind.peak_resident_bytes.max(resident);
    }

    /// What was rehearsed since the last call; counts and peaks start anew.
    pub(crate) fn take(&mut self) -> Rehearsed {
        self.settle();
        self.places.clear();
        let rehearsed = Rehearsed {
            allocated_bytes: self.ledger.allocated(),
            in_place_bytes: self.ledger.in_place.load(Ordering::Relaxed),
            mapped_bytes: self.ledger.mapped(),
            peak_allocated_bytes: self.ledger.peak_allocated.load(Ordering::Relaxed),
            peak_resident_bytes: self.ledger.peak_resident.load(Ordering::Relaxed),
            device_bytes: self.ledger.on_devices(),
            peak_device_bytes: self.ledger.peak_on_devices.load(Ordering::Relaxed),
            operations: std::mem::take(&mut self.operations),
        };
        self.ledger.reset_peaks();
        rehearsed
    }
}

impl Stream {
    /// Starts to rehearse: operations submitted from now on are counted and not computed. Their
    /// tensors read as bytes of 1, which says yes where a flag is asked for.
    ///
    /// Refuses a second rehearsal at a time.
    pub fn begin_rehearsal(&self) -> Result<(), RuntimeError> {
        let mut rehearsal = self.rehearsal();
        if rehearsal.is_some() {
            let (expected, found) = ("one at a time", "a second one");
            return Err(RuntimeError::argument("beginRehearsal", "rehearsal", expected, found));
        }
        *rehearsal = Some(Rehearsal::default());
        Ok(())
    }

    /// Whether operations are rehearsed.
    pub fn is_rehearsing(&self) -> bool {
        self.rehearsal().is_some()
    }

    /// What was rehearsed since the rehearsal began, or since the last call; `None` where none is
    /// under way.
    pub fn take_rehearsed(&self) -> Option<Rehearsed> {
        self.rehearsal().as_mut().map(Rehearsal::take)
    }

    /// Computes again from the next operation on. Tensors of the rehearsal have no values.
    pub fn end_rehearsal(&self) {
        if let Some(mut rehearsal) = self.rehearsal().take() {
            rehearsal.settle();
        }
    }

    /// A storage that holds a copy of `bytes`; while rehearsing, one that counts as such.
    pub fn store(&self, bytes: &[u8]) -> Result<Storage, RuntimeError> {
        match self.rehearsal().as_ref() {
            Some(rehearsal) => Ok(rehearsal.store(bytes.len())),
            None => Storage::copied(bytes),
        }
    }

    /// [`Storage::borrowed`]; while rehearsing, what is touched of it is counted.
    pub fn borrow(
        &self,
        owner: Arc<dyn Backing>,
        offset: usize,
        length: usize,
        alignment: usize,
    ) -> Option<Storage> {
        let storage = Storage::borrowed(owner, offset, length, alignment)?;
        if let Some(rehearsal) = self.rehearsal().as_ref() {
            storage.count_with(rehearsal.map(length));
        }
        Some(storage)
    }
}

/// Bytes that an operation touches of the storage behind one of its inputs.
fn touched_bytes(name: &str, index: usize, input: &Tensor, outputs: &[Pending]) -> usize {
    let whole = input.storage.bytes();
    if name != GATHER || index > 0 {
        return whole;
    }
    let row = input.shape().last().copied().unwrap_or(1).max(1) * input.dtype().size();
    let rows: usize = outputs.iter().map(|output| output.storage.bytes() / row.max(1)).sum();
    whole.min(rows * (row + FAULT_AROUND))
}

#[cfg(test)]
mod tests;
