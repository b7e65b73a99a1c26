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
        allocated_bytes, mapped_bytes, peak_allocated_bytes, peak_resident_bytes, ..
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
    assert_eq!((kind.operation, kind.count, kind.peak_resident_bytes), ("multiply", 2, 2 * BYTES));
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
