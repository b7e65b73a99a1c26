//! Copies, and the events that order them.

use crate::fake::Fake;
use crate::staging::SLOT_BYTES as SLOT;
use crate::sys::{CUDA_ERROR_LAUNCH_FAILED, CUDA_ERROR_OUT_OF_MEMORY};
use crate::{CudaErrorCode, Stream};
use std::mem::MaybeUninit;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

#[test]
fn copies_of_any_length_arrive_though_their_source_changes_at_once() {
    let fake = Fake::new();
    fake.capacity.store(16 * SLOT, Ordering::Relaxed);
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
fn what_is_on_one_stream_is_read_back_without_the_other() {
    let fake = Fake::new();
    let device = fake.device();
    let memory = device.allocate(8).unwrap();
    let other = device.allocate(8).unwrap();
    let mut target = [MaybeUninit::new(0); 8];
    // SAFETY: blocks of that many bytes.
    unsafe {
        device.fill_bytes_on(Stream::Copy, memory.address(), 5, 8).unwrap();
        device.fill_bytes(other.address(), 6, 8).unwrap();
        device.copy_to_host_on(Stream::Copy, &mut target, memory.address(), &plain).unwrap();
    }
    // SAFETY: written at the start at least.
    assert!(target.iter().all(|byte| unsafe { byte.assume_init() } == 5));
    assert!(device.is_done(Stream::Copy).unwrap());
    assert!(!device.is_done(Stream::Compute).unwrap());
}

fn plain(source: &[u8], target: &mut [MaybeUninit<u8>]) {
    target.write_copy_of_slice(source);
}

#[test]
fn the_host_s_part_is_done_by_who_is_named_a_slot_at_a_time() {
    let fake = Fake::new();
    let device = fake.device();
    let bytes = 2 * SLOT + 5;
    let source: Vec<u8> = (0..bytes).map(|index| (index % 253) as u8).collect();
    let memory = device.allocate(bytes).unwrap();
    let lengths = Mutex::new(Vec::new());
    let copy = |from: &[u8], to: &mut [MaybeUninit<u8>]| {
        assert_eq!(from.len(), to.len());
        lengths.lock().unwrap().push(from.len());
        plain(from, to);
    };
    let mut target = vec![MaybeUninit::new(0); bytes];
    // SAFETY: a block of that many bytes.
    unsafe {
        device.copy_to_device_on(Stream::Compute, memory.address(), &source, &copy).unwrap();
        device.copy_to_host_on(Stream::Compute, &mut target, memory.address(), &copy).unwrap();
    }
    assert_eq!(*lengths.lock().unwrap(), [SLOT, SLOT, 5, SLOT, SLOT, 5]);
    // SAFETY: written at the start at least.
    let found = target.iter().map(|byte| unsafe { byte.assume_init() });
    assert!(found.eq(source));
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
        device.copy_to_device_on(Stream::Copy, memory.address(), &[2; 4], &plain).unwrap();
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
