//! What another crate does beside the stream with tensors of a device, in this machine's memory.

use crate::calls::{Call, Noted, places, recorded};
use std::sync::mpsc::sync_channel;
use std::time::Duration;
use tensor_runtime::operations::{self, BinaryOperation};
use tensor_runtime::{DType, Device, Order, OutputBytes, Stream, Tensor};

/// Long enough for any machine; a test that waits for it fails.
const BOUND: Duration = Duration::from_secs(60);
const LENGTH: usize = 64;

fn add(stream: &Stream, left: &Tensor, right: &Tensor) -> Tensor {
    operations::binary(stream, BinaryOperation::Add, left, right).unwrap()
}

fn first(stream: &Stream, tensor: Tensor) -> f32 {
    let bytes = stream.read_blocking(tensor).unwrap();
    f32::from_le_bytes(bytes[..4].try_into().unwrap())
}

#[test]
fn waits_for_the_kernels_before_it_and_none_after_it() {
    let noted = Noted::new();
    let stream = noted.stream();
    let device = Device::Cuda(0);
    let one = operations::fill_on(&stream, device, DType::Float32, &[LENGTH], 1.0).unwrap();
    assert_eq!(first(&stream, one.clone()), 1.0);
    noted.forget();

    let input = add(&stream, &one, &one);
    let (release, released) = sync_channel::<()>(1);
    let run = move |inputs: &[&[u8]], outputs: &[OutputBytes], _: &dyn Fn() -> bool| {
        released.recv_timeout(BOUND).unwrap();
        // SAFETY: the output is as large as the input.
        unsafe { outputs[0].address.copy_from(inputs[0].as_ptr(), inputs[0].len()) };
        Ok(())
    };
    let outputs = vec![(DType::Float32, vec![LENGTH])];
    let exchanged = stream.submit_external("hop", &[input], outputs, Order::Beside, run);
    let exchanged = exchanged.unwrap().remove(0);
    // The stream goes on meanwhile.
    let between = add(&stream, &one, &one);
    let sum = add(&stream, &exchanged, &between);
    release.send(()).unwrap();
    assert_eq!(first(&stream, sum), 4.0);

    let calls = noted.calls();
    let launches = places(&calls, |call| matches!(call, Call::Launch { .. }));
    let [before, between, sum] = launches[..] else { panic!("three kernels run: {calls:?}") };
    let Call::Launch { stream: kernels } = calls[before] else { unreachable!("a launch") };
    let reads = places(&calls, |call| matches!(call, Call::Read { .. }));
    let copies = places(&calls, |call| matches!(call, Call::Copy { .. }));
    // The sum's own value is the last that is read.
    let ([read, _], [copy]) = (&reads[..], &copies[..]) else { panic!("each way once: {calls:?}") };
    let (Call::Read { stream: beside }, Call::Copy { stream }) = (calls[*read], calls[*copy])
    else {
        unreachable!("a read and a copy")
    };
    assert!(beside != kernels && stream == beside);
    let waits = |until: usize, on: usize| {
        places(&calls[..until], |call| matches!(call, Call::Wait { stream, .. } if *stream == on))
    };
    let (ready, of) =
        recorded(&calls, *waits(*read, beside).last().expect("it waits for its input"));
    assert!(before < ready && ready < between && of == kernels);
    let (arrived, of) =
        recorded(&calls, *waits(sum, kernels).last().expect("the sum waits for it"));
    assert!(*copy < arrived && arrived < sum && of == beside);
}
