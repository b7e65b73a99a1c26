//! How far the stream hands work over in advance.

use crate::calls::{Call, Noted, places};
use tensor_runtime::operations::{self, BinaryOperation};
use tensor_runtime::{DType, Device};

/// Operations that are handed over; some stretches.
const OPERATIONS: usize = 1000;

#[test]
fn the_stream_waits_for_the_stretch_before_the_one_that_a_device_still_has_to_do() {
    let noted = Noted::new();
    let stream = noted.stream();
    let one = operations::fill_on(&stream, Device::Cuda(0), DType::Float32, &[1], 1.0).unwrap();
    stream.read_blocking(one.clone()).unwrap();
    noted.forget();
    let mut sum = one.clone();
    for _ in 0..OPERATIONS {
        sum = operations::binary(&stream, BinaryOperation::Add, &sum, &one).unwrap();
    }
    stream.synchronize();
    let calls = noted.calls();

    let launches = places(&calls, |call| matches!(call, Call::Launch { .. }));
    assert_eq!(launches.len(), OPERATIONS);
    let records = places(&calls, |call| matches!(call, Call::Record { .. }));
    let waits = places(&calls, |call| matches!(call, Call::EventSynchronize { .. }));
    assert!(records.len() >= 3 && waits.len() + 1 == records.len(), "{records:?}, {waits:?}");
    for (stretch, &at) in waits.iter().enumerate() {
        // Of the two marks before it, the earlier one: what lies between them is still to be done.
        let Call::EventSynchronize { event: awaited } = calls[at] else { unreachable!("a wait") };
        let Call::Record { event, .. } = calls[records[stretch]] else { unreachable!("a mark") };
        assert_eq!(awaited, event);
        assert!(records[stretch + 1] < at);
        let left = places(&calls[records[stretch]..at], |call| matches!(call, Call::Launch { .. }));
        assert!(left.len() >= 64, "{} operations keep the device at work", left.len());
    }
    for ahead in records.windows(2) {
        assert!(ahead[1] - ahead[0] <= 256, "a stretch is short enough to be cancelled");
    }
    let whole = places(&calls, |call| matches!(call, Call::StreamSynchronize { .. }));
    assert!(whole.iter().all(|at| *at > *launches.last().unwrap()), "nothing waits for all of it");

    let value = stream.read_blocking(sum).unwrap();
    assert_eq!(f32::from_le_bytes(value[..4].try_into().unwrap()), OPERATIONS as f32 + 1.0);
}
