//! Tensors between devices, and what is refused of them.

use crate::both;
use crate::compare::{Distance, LIES, Lie};
use tensor_runtime::{DType, Device, ErrorCode, MemoryCounters, Order, operations};

#[test]
fn there_and_back() {
    let both = both();
    for dtype in DType::ALL {
        for lie in LIES {
            let input = both.random(dtype, &[3, 4, 5], 0.0, lie);
            let back = operations::to_device(both.stream, &input.there, Device::Cpu).unwrap();
            assert_eq!(back.device(), Device::Cpu);
            let read = |tensor| both.stream.read_blocking(tensor).unwrap();
            assert_eq!(read(back), read(input.here));
        }
    }
    // More than the pinned memory that copies go through at a time.
    let large = both.random(DType::Float32, &[9 << 20], 1.0, Lie::Plain);
    both.agree("a large one", Distance::Same, &[&large], |_, inputs| Ok(inputs.to_vec()));
}

#[test]
fn tensors_of_two_devices_are_refused() {
    let both = both();
    let pair = both.random(DType::Float32, &[2, 3], 1.0, Lie::Plain);
    let kind = operations::BinaryOperation::Add;
    let result = operations::binary(both.stream, kind, &pair.there, &pair.here);
    let error = result.err().expect("it is refused");
    assert_eq!(error.code, ErrorCode::Device);
    let said = "add: input 2 of 2 must be on cuda:0, as the first is, but is on cpu";
    assert_eq!(error.to_string(), said);
}

#[test]
fn a_device_that_is_not_there_is_refused() {
    let both = both();
    let pair = both.random(DType::Float32, &[1], 1.0, Lie::Plain);
    let result = operations::to_device(both.stream, &pair.here, Device::Cuda(99));
    let error = result.err().expect("it is refused");
    assert_eq!(error.code, ErrorCode::Device);
    assert!(error.to_string().contains("no CUDA device 99"), "{error}");
}

#[test]
fn what_others_compute_goes_through_this_machine() {
    let both = both();
    let input = both.random(DType::UInt8, &[4], 0.0, Lie::Turned).there;
    let outputs = vec![(DType::UInt8, vec![2, 2])];
    let run = |inputs: &[&[u8]], outputs: &[tensor_runtime::OutputBytes], _: &dyn Fn() -> bool| {
        for (at, byte) in inputs[0].iter().enumerate() {
            // SAFETY: the output has as many bytes as the input.
            unsafe { outputs[0].address.add(at).write(byte + at as u8) };
        }
        Ok(())
    };
    let mut results =
        both.stream.submit_external("count", &[input], outputs, Order::InTurn, run).unwrap();
    let result = results.remove(0);
    assert_eq!(result.device(), both.device);
    assert_eq!(both.stream.read_blocking(result).unwrap(), [0, 1, 2, 3]);
}

#[test]
fn memory_of_the_device_is_counted() {
    let both = both();
    let large = operations::fill_on(both.stream, both.device, DType::UInt8, &[3 << 20], 1.0);
    both.stream.synchronize();
    assert!(MemoryCounters::now().live_device_bytes >= 3 << 20);
    drop(large);
}
