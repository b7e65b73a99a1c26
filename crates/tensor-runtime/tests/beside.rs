//! Operations beside the stream, and outputs in another memory.

use std::cell::UnsafeCell;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tensor_runtime::operations::{BinaryOperation, binary, embedding, fill};
use tensor_runtime::{
    CancelToken, DType, ErrorCode, InstructionSet, Order, OutputBlock, OutputBytes, OutputMemory,
    RuntimeError, Storage, Stream, Tensor,
};

/// Long enough for any machine; a test that waits for it fails.
const BOUND: Duration = Duration::from_secs(20);

fn stream() -> Stream {
    Stream::new(2, InstructionSet::detect())
}

fn ones(stream: &Stream) -> Tensor {
    fill(stream, DType::Float32, &[3], 1.0).unwrap()
}

fn add(stream: &Stream, left: &Tensor, right: &Tensor) -> Tensor {
    binary(stream, BinaryOperation::Add, left, right).unwrap()
}

fn floats(stream: &Stream, tensor: &Tensor) -> Vec<f32> {
    let bytes = stream.read_blocking(tensor.clone()).unwrap();
    bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}

/// Copies its input once it is let go.
fn held(stream: &Stream, input: &Tensor, order: Order) -> (Tensor, SyncSender<()>) {
    let (release, released) = sync_channel::<()>(1);
    let wait = move || released.recv_timeout(BOUND).unwrap();
    (external(stream, input, order, wait), release)
}

fn external(
    stream: &Stream,
    input: &Tensor,
    order: Order,
    before: impl FnOnce() + Send + 'static,
) -> Tensor {
    let outputs = vec![(input.dtype(), input.shape().to_vec())];
    let run = move |inputs: &[&[u8]], outputs: &[OutputBytes], _: &dyn Fn() -> bool| {
        before();
        // SAFETY: the output has the input's size.
        unsafe { outputs[0].address.copy_from(inputs[0].as_ptr(), inputs[0].len()) };
        Ok(())
    };
    let inputs = [input.clone()];
    stream.submit_external("external", &inputs, outputs, order, run).unwrap().remove(0)
}

#[test]
fn the_stream_goes_on_and_waits_where_it_needs_the_result() {
    let stream = stream();
    let own = ones(&stream);
    let (received, release) = held(&stream, &own, Order::Beside);
    // Read while the operation beside is under way: only its own result waits for it.
    assert_eq!(floats(&stream, &add(&stream, &own, &own)), [2.0; 3]);
    let sum = add(&stream, &own, &received);
    release.send(()).unwrap();
    assert_eq!(floats(&stream, &sum), [2.0; 3]);
    assert_eq!(floats(&stream, &received), [1.0; 3]);
}

#[test]
fn operations_beside_and_in_turn_keep_the_order_of_submission() {
    let stream = stream();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let mut tensor = ones(&stream);
    for number in 0..60 {
        let order = if number % 3 == 2 { Order::InTurn } else { Order::Beside };
        let log = seen.clone();
        let result = external(&stream, &tensor, order, move || log.lock().unwrap().push(number));
        // Some results are used by the next operation beside, some by the stream, some by none.
        match number % 4 {
            0 => tensor = result,
            1 => tensor = add(&stream, &tensor, &result),
            _ => {}
        }
    }
    stream.synchronize();
    assert_eq!(*seen.lock().unwrap(), (0..60).collect::<Vec<_>>());
    assert_eq!(floats(&stream, &tensor), [32768.0; 3]);
}

#[test]
fn synchronizing_waits_for_what_is_beside() {
    let stream = stream();
    let (result, release) = held(&stream, &ones(&stream), Order::Beside);
    let (sender, told) = sync_channel(1);
    stream.after(move || sender.send(()).unwrap());
    assert!(told.recv_timeout(Duration::from_millis(30)).is_err());
    release.send(()).unwrap();
    told.recv_timeout(BOUND).unwrap();
    assert_eq!(floats(&stream, &result), [1.0; 3]);
}

#[test]
fn a_failed_input_a_panic_and_a_failure_reach_the_results() {
    let stream = stream();
    let indices = Storage::copied(&9i32.to_le_bytes()).unwrap();
    let indices = Tensor::new(indices, DType::Int32, &[1]).unwrap();
    let table = fill(&stream, DType::Float32, &[2, 3], 1.0).unwrap();
    let broken = embedding(&stream, &table, &indices).unwrap();
    let (told, skipped): (SyncSender<()>, Receiver<()>) = sync_channel(1);
    let never = external(&stream, &broken, Order::Beside, move || drop(told));
    let derived = add(&stream, &never, &never);
    assert_eq!(stream.read_blocking(derived).unwrap_err().code, ErrorCode::Argument);
    // Dropped without being called.
    assert!(skipped.recv_timeout(BOUND).is_err());
    let panicked = external(&stream, &ones(&stream), Order::Beside, || panic!("out of order"));
    let error = stream.read_blocking(panicked).unwrap_err();
    assert_eq!((error.code, error.found.as_str()), (ErrorCode::Internal, "out of order"));
    let outputs = vec![(DType::UInt8, vec![1])];
    let failed = stream.submit_external("collective", &[], outputs, Order::Beside, |_, _, _| {
        Err(RuntimeError::new(ErrorCode::Collective, "collective", "", "", "rank 1 died"))
    });
    let error = stream.read_blocking(failed.unwrap().remove(0)).unwrap_err();
    assert_eq!(error.to_string(), "rank 1 died");
    let after = external(&stream, &ones(&stream), Order::Beside, || {});
    assert_eq!(floats(&stream, &after), [1.0; 3]);
}

#[test]
fn cancelling_reaches_what_is_beside_and_what_waits() {
    let stream = stream();
    let token = CancelToken::new();
    let own = ones(&stream);
    let (began, begun) = sync_channel(1);
    stream.set_cancel_token(Some(token.clone()));
    let outputs = vec![(DType::UInt8, vec![1])];
    let run = move |_: &[&[u8]], _: &[OutputBytes], interrupted: &dyn Fn() -> bool| {
        began.send(()).unwrap();
        let started = std::time::Instant::now();
        while !interrupted() {
            assert!(started.elapsed() < BOUND);
            std::thread::yield_now();
        }
        Ok(())
    };
    let cut = stream.submit_external("collective", &[], outputs, Order::Beside, run).unwrap();
    let waiting = external(&stream, &own, Order::Beside, || {});
    let turn = external(&stream, &own, Order::InTurn, || {});
    stream.set_cancel_token(None);
    let kept = external(&stream, &own, Order::Beside, || {});
    begun.recv_timeout(BOUND).unwrap();
    stream.cancel(&token);
    for tensor in [&cut[0], &waiting, &turn] {
        assert_eq!(stream.read_blocking(tensor.clone()).unwrap_err().code, ErrorCode::Cancelled);
    }
    assert_eq!(floats(&stream, &kept), [1.0; 3]);
}

/// Gives out parts of one allocation, and counts them.
struct Shelf {
    room: Mutex<usize>,
    given: Arc<Mutex<Vec<usize>>>,
}

/// Aligned memory of its own, as a stand-in for a shared one.
struct Part(UnsafeCell<Box<[Line]>>);

#[repr(align(64))]
#[derive(Clone, Copy)]
struct Line(#[expect(dead_code, reason = "bytes that are reached by address")] [u8; 64]);

// SAFETY: the lines are reached through `address` alone.
unsafe impl Sync for Part {}

// SAFETY: a part has its own lines, which nobody else has and which are aligned to 64 bytes.
unsafe impl OutputBlock for Part {
    fn address(&self) -> *mut u8 {
        // SAFETY: the box itself is never written.
        unsafe { (*self.0.get()).as_mut_ptr().cast() }
    }
}

// SAFETY: as above; a part has at least as many bytes as were asked for.
unsafe impl OutputMemory for Shelf {
    fn allocate(&self, bytes: usize) -> Result<Box<dyn OutputBlock>, String> {
        let mut room = self.room.lock().unwrap();
        *room = room.checked_sub(bytes).ok_or_else(|| format!("{bytes} bytes on the shelf"))?;
        self.given.lock().unwrap().push(bytes);
        let lines = vec![Line([0; 64]); bytes.div_ceil(64)];
        Ok(Box::new(Part(UnsafeCell::new(lines.into()))))
    }
}

#[test]
fn outputs_are_given_the_memory_that_was_entered_last() {
    let stream = stream();
    let given = Arc::new(Mutex::new(Vec::new()));
    let shelf = |room: usize| Arc::new(Shelf { room: Mutex::new(room), given: given.clone() });
    let outside = ones(&stream);
    stream.enter_output_memory(shelf(1000));
    let inside = add(&stream, &outside, &outside);
    stream.enter_output_memory(shelf(16));
    let beside = external(&stream, &inside, Order::Beside, || {});
    let empty = fill(&stream, DType::Float32, &[0, 4], 1.0).unwrap();
    let refused = fill(&stream, DType::Float32, &[8], 1.0).unwrap();
    stream.leave_output_memory();
    let again = add(&stream, &inside, &beside);
    stream.leave_output_memory();
    let own = add(&stream, &inside, &inside);
    assert_eq!(floats(&stream, &again), [4.0; 3]);
    assert_eq!(floats(&stream, &own), [4.0; 3]);
    assert!(floats(&stream, &empty).is_empty());
    let error = stream.read_blocking(refused).unwrap_err();
    assert_eq!(error.code, ErrorCode::OutOfMemory);
    assert_eq!(error.to_string(), "fill: no memory for 32 bytes on the shelf");
    let mut given = given.lock().unwrap().clone();
    given.sort_unstable();
    assert_eq!(given, [12, 12, 12]);
}
