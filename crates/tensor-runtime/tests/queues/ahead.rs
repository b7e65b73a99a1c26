//! Copies beside a device's kernels: what they wait for, and what waits for them.

use crate::calls::{Call, Noted, places, recorded};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;
use tensor_runtime::operations::{self, BinaryOperation};
use tensor_runtime::{
    CancelToken, DType, Device, ErrorCode, MemoryCounters, Order, OutputBytes, Stream, Tensor,
};

/// Long enough for any machine; a test that waits for it fails.
const BOUND: Duration = Duration::from_secs(60);
const DEVICE: Device = Device::Cuda(0);
/// Elements of a tensor that is copied, of four bytes.
const LENGTH: usize = 64;

fn full(stream: &Stream, value: f64) -> Tensor {
    operations::fill(stream, DType::Float32, &[LENGTH], value).unwrap()
}

fn ahead(stream: &Stream, tensor: &Tensor) -> Tensor {
    operations::to_device_ahead(stream, tensor, DEVICE).unwrap()
}

fn add(stream: &Stream, left: &Tensor, right: &Tensor) -> Tensor {
    operations::binary(stream, BinaryOperation::Add, left, right).unwrap()
}

fn first(stream: &Stream, tensor: Tensor) -> f32 {
    let bytes = stream.read_blocking(tensor).unwrap();
    f32::from_le_bytes(bytes[..4].try_into().unwrap())
}

/// Keeps everything beside the stream from running until it is let go.
fn hold(stream: &Stream) -> SyncSender<()> {
    let (release, released) = sync_channel::<()>(1);
    let run = move |_: &[&[u8]], outputs: &[OutputBytes], _: &dyn Fn() -> bool| {
        released.recv_timeout(BOUND).unwrap();
        // SAFETY: the output has one byte.
        unsafe { outputs[0].address.write(1) };
        Ok(())
    };
    let outputs = vec![(DType::UInt8, vec![1])];
    drop(stream.submit_external("hold", &[], outputs, Order::Beside, run).unwrap());
    release
}

#[test]
fn copies_wait_for_what_was_before_them_and_are_awaited_where_they_are_read() {
    let noted = Noted::new();
    let stream = noted.stream();
    let (left, right) = (full(&stream, 2.0), full(&stream, 3.0));
    let base = operations::fill_on(&stream, DEVICE, DType::Float32, &[LENGTH], 1.0).unwrap();
    assert_eq!(first(&stream, base.clone()), 1.0);
    noted.forget();
    let held = MemoryCounters::now().live_device_bytes;

    // However late the copies are made: their memory, and what they wait for, is of their turn.
    let release = hold(&stream);
    let (copied_left, copied_right) = (ahead(&stream, &left), ahead(&stream, &right));
    let unused = ahead(&stream, &right);
    let between = add(&stream, &base, &base);
    assert_eq!(first(&stream, between), 2.0);
    assert_eq!(MemoryCounters::now().live_device_bytes, held + 3 * LENGTH * 4);
    let before = noted.calls().len();
    assert!(!noted.calls().iter().any(|call| matches!(call, Call::Copy { .. })));
    drop(unused);
    let sum = add(&stream, &copied_left, &copied_right);
    let spoiled = ahead(&stream, &sum); // It is there already.
    release.send(()).unwrap();
    assert_eq!(first(&stream, sum), 5.0);
    assert_eq!(first(&stream, spoiled), 5.0);
    // The copy that nobody reads has been made as well.
    stream.synchronize();

    let calls = noted.calls();
    let launches: Vec<usize> = places(&calls, |call| matches!(call, Call::Launch { .. }));
    let [between, sum] = launches[..] else { panic!("two kernels run: {calls:?}") };
    assert!(between < before && before <= sum);
    let Call::Launch { stream: kernels } = calls[sum] else { unreachable!("found as a launch") };
    let copies = places(&calls, |call| matches!(call, Call::Copy { .. }));
    assert_eq!(copies.len(), 3);
    for &at in &copies {
        let Call::Copy { stream: beside } = calls[at] else { unreachable!("found as a copy") };
        assert_ne!(beside, kernels);
        // Its memory is its own before the next kernel, and nothing else is waited for.
        let waits = places(
            &calls[..at],
            |call| matches!(call, Call::Wait { stream, .. } if *stream == beside),
        );
        let (place, of) = recorded(&calls, *waits.last().expect("a copy waits for its memory"));
        assert!(place < between && of == kernels);
    }
    // What reads two copies waits for both, which are recorded behind them.
    let waits = places(
        &calls[..sum],
        |call| matches!(call, Call::Wait { stream, .. } if *stream == kernels),
    );
    let awaited: Vec<usize> = waits.iter().map(|&at| recorded(&calls, at).0).collect();
    for &at in &copies[..2] {
        let next = calls[at..].iter().position(|call| matches!(call, Call::Record { .. }));
        assert!(awaited.contains(&(at + next.expect("a copy is recorded"))), "{calls:?}");
    }
    drop((copied_left, copied_right));

    // A copy that is cancelled before its turn takes no memory; one of a failed tensor fails as that.
    let token = CancelToken::new();
    stream.set_cancel_token(Some(token.clone()));
    stream.cancel(&token);
    let cancelled = ahead(&stream, &left);
    stream.set_cancel_token(None);
    let derived = add(&stream, &cancelled, &base);
    assert_eq!(stream.read_blocking(derived).unwrap_err().code, ErrorCode::Cancelled);
    let empty = operations::fill(&stream, DType::Float32, &[0, 3], 1.0).unwrap();
    assert!(stream.read_blocking(ahead(&stream, &empty)).unwrap().is_empty());
    drop((cancelled, base));
    stream.synchronize();
    assert_eq!(MemoryCounters::now().live_device_bytes, 0);
}
