//! How a stream runs what it is given: in order, on its own thread, with failures passed on.

use std::sync::mpsc::sync_channel;
use tensor_runtime::operations::{BinaryOperation, binary, binary_scalar, copy, embedding, fill};
use tensor_runtime::{CancelToken, DType, ErrorCode, InstructionSet, Storage, Stream, Tensor};

fn indices(values: &[i32]) -> Tensor {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    Tensor::new(Storage::copied(&bytes).unwrap(), DType::Int32, &[values.len()]).unwrap()
}

fn floats(stream: &Stream, tensor: Tensor) -> Vec<f32> {
    let bytes = stream.read_blocking(tensor).unwrap();
    bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}

/// Holds the stream's thread up until the returned function is called.
fn hold(stream: &Stream) -> impl FnOnce() + use<> {
    let (release, released) = sync_channel::<()>(1);
    stream.after(move || released.recv().unwrap());
    move || release.send(()).unwrap()
}

#[test]
fn a_thousand_operations_run_in_order() {
    let stream = Stream::new(2, InstructionSet::detect());
    stream.start_trace();
    let mut tensor = fill(&stream, DType::Float32, &[3], 1.0).unwrap();
    let mut expected = 1.0f32;
    for step in 0..500 {
        tensor = binary_scalar(&stream, BinaryOperation::Multiply, &tensor, 0.75).unwrap();
        tensor = binary_scalar(&stream, BinaryOperation::Add, &tensor, f64::from(step)).unwrap();
        expected = expected * 0.75 + step as f32;
    }
    assert_eq!(floats(&stream, tensor), [expected; 3]);
    let trace = stream.take_trace();
    let names: Vec<_> = trace.iter().map(|event| event.operation).collect();
    assert_eq!((names[0], names.len()), ("fill", 1001));
    assert!(names[1..].chunks(2).all(|pair| pair == ["multiply", "add"]));
    assert!(trace.is_sorted_by(|a, b| a.start + a.duration <= b.start + 1e-3));
}

#[test]
fn submitting_doesnt_wait_for_the_stream() {
    let stream = Stream::new(1, InstructionSet::Portable);
    let release = hold(&stream);
    let tensor = fill(&stream, DType::Float32, &[2], 3.0).unwrap();
    let tensor = copy(&stream, &tensor, DType::Float32).unwrap();
    // Everything above came back although nothing can have run.
    release();
    assert_eq!(floats(&stream, tensor), [3.0, 3.0]);
}

#[test]
fn a_failure_reaches_everything_computed_from_it_and_nothing_else() {
    let stream = Stream::new(2, InstructionSet::detect());
    let table = fill(&stream, DType::Float32, &[4, 2], 1.0).unwrap();
    let failed = embedding(&stream, &table, &indices(&[0, 9])).unwrap();
    let dependant = binary(&stream, BinaryOperation::Add, &table, &table).unwrap();
    let mut spoiled = failed.reshaped(&[4]).unwrap().unwrap();
    for _ in 0..3 {
        spoiled = binary_scalar(&stream, BinaryOperation::Multiply, &spoiled, 2.0).unwrap();
    }
    let error = stream.read_blocking(spoiled).unwrap_err();
    assert_eq!((error.code, error.operation), (ErrorCode::Argument, "embedding"));
    assert_eq!(error.found, "9");
    assert_eq!(floats(&stream, dependant), [2.0; 8]);
}

#[test]
fn cancelling_skips_what_waits_under_the_token_alone() {
    let stream = Stream::new(2, InstructionSet::detect());
    let (token, other) = (CancelToken::new(), CancelToken::new());
    let release = hold(&stream);
    let before = fill(&stream, DType::Float32, &[2], 1.0).unwrap();
    stream.set_cancel_token(Some(token.clone()));
    let cancelled = binary_scalar(&stream, BinaryOperation::Add, &before, 1.0).unwrap();
    stream.set_cancel_token(Some(other));
    let kept = binary_scalar(&stream, BinaryOperation::Add, &before, 2.0).unwrap();
    stream.set_cancel_token(None);
    let dependant = binary_scalar(&stream, BinaryOperation::Add, &cancelled, 1.0).unwrap();
    stream.cancel(&token);
    assert!(token.is_cancelled());
    release();
    for tensor in [cancelled, dependant] {
        let error = stream.read_blocking(tensor).unwrap_err();
        assert_eq!((error.code, error.operation), (ErrorCode::Cancelled, "add"));
    }
    assert_eq!(floats(&stream, kept), [3.0, 3.0]);
    assert_eq!(floats(&stream, before), [1.0, 1.0]);
}

#[test]
fn threads_and_instruction_sets_change_between_operations() {
    let stream = Stream::new(1, InstructionSet::Portable);
    let tensor = fill(&stream, DType::Float32, &[50_000], 2.0).unwrap();
    for set in InstructionSet::available() {
        for threads in [1, 2, 5] {
            stream.set_threads(threads);
            stream.set_instruction_set(set).unwrap();
            assert_eq!((stream.threads(), stream.instruction_set()), (threads, set));
            let sum = binary(&stream, BinaryOperation::Add, &tensor, &tensor).unwrap();
            assert!(floats(&stream, sum).iter().all(|&value| value == 4.0));
        }
    }
}

#[test]
fn a_callback_that_panics_leaves_the_stream_running() {
    let stream = Stream::new(1, InstructionSet::Portable);
    stream.after(|| std::panic::resume_unwind(Box::new("a fault of the caller")));
    let tensor = fill(&stream, DType::Float32, &[1], 5.0).unwrap();
    assert_eq!(floats(&stream, tensor), [5.0]);
}

#[test]
fn work_submitted_before_the_stream_is_dropped_is_done() {
    let stream = Stream::new(1, InstructionSet::Portable);
    let (sender, receiver) = sync_channel(1);
    let tensor = fill(&stream, DType::UInt8, &[3], 7.0).unwrap();
    stream.read(tensor, move |bytes| sender.send(bytes).unwrap());
    drop(stream);
    assert_eq!(receiver.recv().unwrap().unwrap(), [7, 7, 7]);
}

#[test]
fn what_is_called_once_reached_keeps_its_place_and_doesnt_wait_for_an_idle_stream() {
    let stream = Stream::new(1, InstructionSet::Portable);
    stream.synchronize();
    let here = std::thread::current().id();
    let (sender, receiver) = sync_channel(2);
    let tell = |sender: &std::sync::mpsc::SyncSender<_>| {
        let sender = sender.clone();
        move || sender.send(std::thread::current().id()).unwrap()
    };
    let release = hold(&stream);
    stream.once_reached(tell(&sender));
    assert!(receiver.try_recv().is_err());
    release();
    assert_ne!(receiver.recv().unwrap(), here);
    // The stream is idle from when it has looked for more; that it comes to it is all there is to
    // wait for.
    loop {
        stream.once_reached(tell(&sender));
        if receiver.recv().unwrap() == here {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}
