//! Copies, and the events that order them.

use crate::fake::Fake;
use crate::sys::{CUDA_ERROR_LAUNCH_FAILED, CUDA_ERROR_OUT_OF_MEMORY};
use crate::{CudaErrorCode, Stream};

#[test]
fn copies_of_any_length_arrive_though_their_source_changes_at_once() {
    const SLOT: usize = 4 << 20;
    let fake = Fake::new();
    let device = fake.device();
    for (seed, bytes) in
        [1, 255, 256, 257, SLOT - 1, SLOT, SLOT + 1, 5 * SLOT + 3].into_iter().enumerate()
    {
        let content = |index: usize| (index * 31 + index / 251 + seed) as u8;
        let memory = device.allocate(bytes).unwrap();
        let copy = device.allocate(bytes).unwrap();
        let mut host: Vec<u8> = (0..bytes).map(content).collect();
        // SAFETY: blocks of that many bytes, which live.
        unsafe {
            device.copy_to_device(memory.address(), &host).unwrap();
            host.fill(0);
            device.copy_on_device(copy.address(), memory.address(), bytes).unwrap();
            device.copy_to_host(&mut host, copy.address()).unwrap();
        }
        assert!(host.iter().enumerate().all(|(index, byte)| *byte == content(index)), "{bytes}");
    }
    assert_eq!(fake.count("cuMemHostAlloc"), 2, "one ring for each direction");
    drop(device);
    fake.assert_clean();
}

#[test]
fn many_small_copies_share_a_slot() {
    let fake = Fake::new();
    let device = fake.device();
    let memory = device.allocate(1 << 20).unwrap();
    fake.take_calls();
    for index in 0..1000u32 {
        // SAFETY: within the block.
        unsafe {
            device.copy_to_device(memory.address() + u64::from(index) * 4, &index.to_le_bytes())
        }
        .unwrap();
    }
    assert_eq!(fake.count("cuEventSynchronize"), 0);
    let mut host = vec![0; 4000];
    // SAFETY: within the block.
    unsafe { device.copy_to_host(&mut host, memory.address()) }.unwrap();
    for (index, bytes) in host.chunks_exact(4).enumerate() {
        assert_eq!(u32::from_le_bytes(bytes.try_into().unwrap()), index as u32);
    }
}

#[test]
fn events_order_the_copy_stream_with_kernels() {
    let fake = Fake::new();
    let device = fake.device();
    let memory = device.allocate(8).unwrap();
    // SAFETY: blocks that live; the streams are ordered by events.
    unsafe {
        device.fill_bytes(memory.address(), 1, 8).unwrap();
        let filled = device.record_timed(Stream::Compute).unwrap();
        device.wait(Stream::Copy, &filled).unwrap();
        device.copy_to_device_on(Stream::Copy, memory.address(), &[2; 4]).unwrap();
        let copied = device.record_timed(Stream::Copy).unwrap();
        device.wait(Stream::Compute, &copied).unwrap();
        device.fill_bytes(memory.address(), 3, 2).unwrap();
        assert_eq!(copied.milliseconds_since(&filled).unwrap(), 1.5);
        copied.synchronize().unwrap();
        let mut host = [0; 8];
        device.copy_to_host(&mut host, memory.address()).unwrap();
        assert_eq!(host, [3, 3, 2, 2, 1, 1, 1, 1]);
    }
}

#[test]
fn a_copy_that_fails_says_so_and_leaves_the_next_ones_right() {
    let fake = Fake::new();
    let device = fake.device();
    let memory = device.allocate(12 << 20).unwrap();
    let source: Vec<u8> = (0..12 << 20).map(|index| (index % 249) as u8).collect();
    let mut target = vec![0; source.len()];
    let failures = ["cuMemHostAlloc", "cuEventCreate", "cuMemcpyHtoDAsync_v2", "cuEventRecord"];
    for function in failures {
        fake.fail(function, CUDA_ERROR_OUT_OF_MEMORY);
        // SAFETY: a block of that many bytes.
        let error = unsafe { device.copy_to_device(memory.address(), &source) }.unwrap_err();
        assert_eq!((error.code, error.function), (CudaErrorCode::OutOfMemory, function));
    }
    for function in ["cuMemHostAlloc", "cuMemcpyDtoHAsync_v2", "cuEventSynchronize"] {
        fake.fail(function, CUDA_ERROR_LAUNCH_FAILED);
        // SAFETY: a block of that many bytes.
        let error = unsafe { device.copy_to_host(&mut target, memory.address()) }.unwrap_err();
        assert_eq!((error.code, error.function), (CudaErrorCode::Failed, function));
        assert!(error.message.starts_with("copying 12.00 MiB from Fake 0: "), "{error}");
    }
    // SAFETY: a block of that many bytes.
    unsafe {
        device.copy_to_device(memory.address(), &source).unwrap();
        device.copy_to_host(&mut target, memory.address()).unwrap();
    }
    assert!(source == target);
    drop((memory, device));
    fake.assert_clean();
}
