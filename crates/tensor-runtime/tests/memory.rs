//! Memory counters, which count the whole process: this file is a process of its own, and its one
//! test has them to itself.

use tensor_runtime::operations::{BinaryOperation, binary, binary_scalar, embedding, fill};
use tensor_runtime::{CancelToken, DType, InstructionSet, MemoryCounters, Storage, Stream, Tensor};

const NONE: (usize, usize) = (0, 0);

fn live() -> (usize, usize) {
    let counters = MemoryCounters::now();
    (counters.live_storages, counters.live_bytes)
}

#[test]
fn nothing_is_held_once_tensors_are_dropped() {
    let stream = Stream::new(2, InstructionSet::detect());
    assert_eq!(live(), NONE);

    // What is submitted and dropped at once is freed as soon as it has run.
    let mut tensor = fill(&stream, DType::Float32, &[1000], 1.0).unwrap();
    for _ in 0..100 {
        tensor = binary(&stream, BinaryOperation::Add, &tensor, &tensor).unwrap();
    }
    stream.synchronize();
    assert_eq!(live(), (1, 4000));
    let peak = MemoryCounters::now().peak_bytes;
    assert_eq!(peak, 8000, "one input and one output at a time");

    // A view keeps the whole storage.
    let view = tensor.sliced(0, 5, 6).unwrap();
    drop(tensor);
    assert_eq!(live(), (1, 4000));
    drop(view);
    assert_eq!(live(), NONE);

    // Large blocks, which are mapped.
    MemoryCounters::reset_peak();
    let large = fill(&stream, DType::UInt8, &[3 << 20], 1.0).unwrap();
    stream.synchronize();
    assert_eq!(MemoryCounters::now().peak_bytes, 3 << 20);
    drop(large);
    assert_eq!(live(), NONE);

    // Failed and cancelled operations hold nothing.
    let table = fill(&stream, DType::Float32, &[2, 2], 1.0).unwrap();
    let place = Tensor::new(Storage::copied(&[9, 0, 0, 0]).unwrap(), DType::Int32, &[1]).unwrap();
    let failed = embedding(&stream, &table, &place).unwrap();
    let spoiled = binary_scalar(&stream, BinaryOperation::Add, &failed, 1.0).unwrap();
    let token = CancelToken::new();
    stream.cancel(&token);
    stream.set_cancel_token(Some(token));
    let cancelled = binary_scalar(&stream, BinaryOperation::Add, &table, 1.0).unwrap();
    stream.set_cancel_token(None);
    stream.synchronize();
    assert_eq!(live(), (5, 16 + 4));
    drop((table, place, failed, spoiled, cancelled));
    assert_eq!(live(), NONE);

    // A read drops its tensor before it hands over the value.
    let value = fill(&stream, DType::Float32, &[4], 1.0).unwrap();
    stream.read_blocking(value).unwrap();
    assert_eq!(live(), NONE);
}
