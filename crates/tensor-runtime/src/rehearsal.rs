//! Computations gone through without their values: what they would take, before they run.
//!
//! While a stream rehearses, operations check their arguments and give tensors as always, but nothing
//! is computed and no memory allocated. What would be allocated is counted when the operation would
//! run and until its last view is gone, so a program that is rehearsed tells what it would hold at
//! most, operation by operation, with no model of it beside its own code.
//!
//! An operation counts as run when the program waits for the stream: the program is taken to be far
//! ahead of it, as it is wherever operations are large enough to matter.

use crate::storage::Storage;
use crate::stream::Pending;
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
    peak_allocated: AtomicUsize,
    peak_resident: AtomicUsize,
}

impl Ledger {
    fn allocated(&self) -> usize {
        self.allocated.load(Ordering::Relaxed)
    }

    fn mapped(&self) -> usize {
        self.mapped.load(Ordering::Relaxed)
    }

    fn raise_peaks(&self) {
        self.peak_allocated.fetch_max(self.allocated(), Ordering::Relaxed);
        self.peak_resident.fetch_max(self.allocated() + self.mapped(), Ordering::Relaxed);
    }

    /// Starts the peaks anew from what is held.
    fn reset_peaks(&self) {
        self.peak_allocated.store(self.allocated(), Ordering::Relaxed);
        self.peak_resident.store(self.allocated() + self.mapped(), Ordering::Relaxed);
    }
}

/// Memory that would be allocated, counted for as long as this lives.
#[derive(Debug)]
pub(crate) struct CountedBlock {
    ledger: Arc<Ledger>,
    bytes: usize,
}

impl CountedBlock {
    fn allocate(ledger: &Arc<Ledger>, bytes: usize) -> CountedBlock {
        ledger.allocated.fetch_add(bytes, Ordering::Relaxed);
        ledger.raise_peaks();
        CountedBlock { ledger: ledger.clone(), bytes }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for CountedBlock {
    fn drop(&mut self) {
        self.ledger.allocated.fetch_sub(self.bytes, Ordering::Relaxed);
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
        Storage::absent(CountedBlock::allocate(&self.ledger, bytes))
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
            .map(|output| CountedBlock::allocate(&self.ledger, output.storage.bytes()))
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
            operations: std::mem::take(&mut self.operations),
        };
        self.ledger.reset_peaks();
        rehearsed
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
mod tests {
    use crate::operations::{BinaryOperation, binary_scalar, copy};
    use crate::{Backing, DType, ErrorCode, InstructionSet, Rehearsed, Storage, Stream, Tensor};
    use std::ops::Range;
    use std::sync::Arc;

    const SHAPE: [usize; 2] = [256, 4];
    const BYTES: usize = 4096;

    struct File(Vec<u8>);

    impl AsRef<[u8]> for File {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }

    impl Backing for File {
        fn release(&self, range: Range<usize>) {
            assert_eq!(range, 0..BYTES);
        }
    }

    fn rehearsing() -> Stream {
        let stream = Stream::new(1, InstructionSet::Portable);
        stream.begin_rehearsal().expect("the first");
        stream
    }

    fn doubled(stream: &Stream, tensor: &Tensor) -> Tensor {
        binary_scalar(stream, BinaryOperation::Multiply, tensor, 2.0).expect("floats")
    }

    fn summary(rehearsed: &Rehearsed) -> [usize; 4] {
        let Rehearsed {
            allocated_bytes,
            mapped_bytes,
            peak_allocated_bytes,
            peak_resident_bytes,
            ..
        } = rehearsed;
        [*allocated_bytes, *mapped_bytes, *peak_allocated_bytes, *peak_resident_bytes]
    }

    #[test]
    fn counts_what_the_stream_would_hold() {
        let stream = rehearsing();
        let storage = stream.store(&[0; BYTES]).expect("counted");
        let first = Tensor::new(storage, DType::Float32, &SHAPE).expect("fits");
        let second = doubled(&stream, &first);
        let third = doubled(&stream, &second);
        // Let go before they would run: each is freed by the operation that reads it last.
        drop((first, second));
        let rehearsed = stream.take_rehearsed().expect("rehearsing");
        assert_eq!(summary(&rehearsed), [BYTES, 0, 2 * BYTES, 2 * BYTES]);
        let [kind] = &rehearsed.operations[..] else {
            panic!("one kind of operation, but {:?}", rehearsed.operations);
        };
        assert_eq!(
            (kind.operation, kind.count, kind.peak_resident_bytes),
            ("multiply", 2, 2 * BYTES)
        );
        assert_eq!(kind.inputs[0].shape, SHAPE);
        drop(third);
        assert_eq!(summary(&stream.take_rehearsed().expect("rehearsing")), [0, 0, BYTES, BYTES]);
    }

    #[test]
    fn files_count_from_their_first_use_to_their_last() {
        let stream = rehearsing();
        let storage = stream.borrow(Arc::new(File(vec![7; BYTES])), 0, BYTES, 1).expect("within");
        let weight = Tensor::new(storage, DType::Float32, &SHAPE).expect("fits");
        // What is there can be read: descriptions of weights lie in tensors.
        assert_eq!(stream.read_blocking(weight.clone()).expect("bytes"), [7; BYTES]);
        let before = stream.take_rehearsed().expect("rehearsing");
        assert_eq!((before.in_place_bytes, before.mapped_bytes), (BYTES, 0));
        let narrow = copy(&stream, &weight, DType::BFloat16).expect("floats");
        let during = stream.take_rehearsed().expect("rehearsing");
        assert_eq!(summary(&during), [BYTES / 2, BYTES, BYTES / 2, BYTES + BYTES / 2]);
        drop(weight);
        let after = stream.take_rehearsed().expect("rehearsing");
        assert_eq!((after.in_place_bytes, after.mapped_bytes), (0, 0));
        drop(narrow);
    }

    #[test]
    fn waiting_for_a_value_settles_what_was_submitted() {
        let stream = rehearsing();
        let storage = stream.store(&[0; BYTES]).expect("counted");
        let input = Tensor::new(storage, DType::Float32, &SHAPE).expect("fits");
        let held = doubled(&stream, &input);
        assert_eq!(stream.read_blocking(held.clone()).expect("bytes"), [1; BYTES]);
        drop(held);
        assert_eq!(stream.take_rehearsed().expect("rehearsing").peak_allocated_bytes, 2 * BYTES);
    }

    #[test]
    fn computes_again_once_it_has_ended() {
        let stream = rehearsing();
        assert_eq!(stream.begin_rehearsal().expect_err("one at a time").code, ErrorCode::Argument);
        let storage = stream.store(&[0; BYTES]).expect("counted");
        let rehearsed = Tensor::new(storage, DType::Float32, &SHAPE).expect("fits");
        stream.end_rehearsal();
        assert_eq!(stream.take_rehearsed(), None);
        let from_rehearsal = doubled(&stream, &rehearsed);
        assert_eq!(
            stream.read_blocking(from_rehearsal).expect_err("no value").code,
            ErrorCode::Argument
        );
        let storage = Storage::copied(&1f32.to_le_bytes()).expect("memory");
        let one = Tensor::new(storage, DType::Float32, &[1]).expect("fits");
        let two = stream.read_blocking(doubled(&stream, &one)).expect("computed");
        assert_eq!(two, 2f32.to_le_bytes());
    }
}
