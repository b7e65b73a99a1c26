//! Allocating and freeing.

use crate::fake::Fake;
use crate::sys::CUDA_ERROR_LAUNCH_FAILED;
use crate::{Allocation, CudaErrorCode};
use std::sync::atomic::Ordering;

#[test]
fn memory_is_given_back_in_the_order_of_the_stream_from_any_thread() {
    let fake = Fake::new();
    let device = fake.device();
    let memory = device.allocate(1000).unwrap();
    assert_eq!((memory.bytes(), memory.address() != 0, device.held_memory()), (1000, true, 1000));
    // SAFETY: within the block, which is freed after this in the stream's order.
    unsafe { device.fill_bytes(memory.address(), 7, 1000) }.unwrap();
    fake.take_calls();
    std::thread::spawn(move || drop(memory)).join().unwrap();
    assert_eq!((fake.take_calls(), device.held_memory()), (vec!["cuMemFreeAsync"], 0));
    device.synchronize().unwrap();
    drop(device);
    fake.assert_clean();
}

#[test]
fn no_bytes_need_no_memory() {
    let fake = Fake::new();
    let device = fake.device();
    fake.take_calls();
    let memory = device.allocate(0).unwrap();
    assert_eq!((memory.address(), memory.bytes()), (0, 0));
    // SAFETY: no bytes.
    unsafe {
        device.copy_to_device(0, &[]).unwrap();
        device.copy_to_host(&mut [], 0).unwrap();
        device.copy_on_device(0, 0, 0).unwrap();
        device.fill_bytes(0, 1, 0).unwrap();
    }
    drop(memory);
    assert_eq!(fake.take_calls(), Vec::<&str>::new());
}

#[test]
fn a_full_pool_gives_back_what_it_keeps_and_is_asked_again() {
    let fake = Fake::new();
    let device = fake.device();
    let block = device.allocate(50 << 20).unwrap();
    drop(block);
    fake.idle.store(8 << 20, Ordering::Relaxed);
    let block = device.allocate(60 << 20).unwrap();
    assert_eq!(block.bytes(), 60 << 20);
    assert_eq!(fake.count("cuMemPoolTrimTo"), 1);
}

#[test]
fn a_full_device_says_what_was_asked_for_and_what_is_free() {
    for pools in [true, false] {
        let fake = Fake::new();
        fake.pools.store(pools, Ordering::Relaxed);
        let device = fake.device();
        let held = device.allocate(48 << 20).unwrap();
        let error = device.allocate(32 << 20).err().unwrap();
        assert_eq!(error.code, CudaErrorCode::OutOfMemory);
        assert_eq!(error.name, "CUDA_ERROR_OUT_OF_MEMORY");
        assert_eq!(
            error.message,
            "32.00 MiB asked for on CUDA device 0 (Fake 0), of whose 64.00 MiB 16.00 MiB is \
             free; this process holds 48.00 MiB of it"
        );
        drop(held);
        device.allocate(32 << 20).unwrap();
    }
}

#[test]
fn a_failure_that_is_not_about_memory_is_told_as_it_is() {
    let fake = Fake::new();
    let device = fake.device();
    fake.fail("cuMemAllocFromPoolAsync", CUDA_ERROR_LAUNCH_FAILED);
    let error = device.allocate(5).err().unwrap();
    assert_eq!((error.code, error.function), (CudaErrorCode::Failed, "cuMemAllocFromPoolAsync"));
    assert!(error.message.starts_with("allocating 5 B on Fake 0: "), "{error}");
    assert!(error.message.contains("work submitted earlier failed with this"), "{error}");
}

#[test]
fn without_pools_a_block_is_freed_only_when_the_device_is_done() {
    for missing in [None, Some("cuMemPoolTrimTo")] {
        let fake = Fake::new();
        match missing {
            Some(function) => fake.lacks(function),
            None => fake.pools.store(false, Ordering::Relaxed),
        }
        let device = fake.device();
        let Allocation::Blocking { reason } = device.allocation() else { panic!("no pools") };
        assert!(
            reason.contains(missing.map_or("the device has none", |_| "CUDA 12.8")),
            "{reason}"
        );
        let memory = device.allocate(64).unwrap();
        // SAFETY: within the block, which is freed once this is done.
        unsafe { device.fill_bytes(memory.address(), 7, 64) }.unwrap();
        fake.take_calls();
        drop(memory);
        let calls = ["cuStreamSynchronize", "cuStreamSynchronize", "cuMemFree_v2"];
        assert_eq!(fake.take_calls(), calls);
        drop(device);
        fake.assert_clean();
    }
}

#[test]
fn shareable_memory_has_a_handle_that_opens_it() {
    let fake = Fake::new();
    let device = fake.device();
    let memory = device.allocate_shareable(16).unwrap();
    // SAFETY: the handle is of 16 bytes, which live.
    let opened = unsafe { device.open_ipc(memory.ipc_handle().unwrap(), 16) }.unwrap();
    assert_eq!((opened.address(), opened.bytes()), (memory.address(), 16));
    assert_eq!(device.held_memory(), 16, "another's memory doesn't count");
    drop(opened);
    assert_eq!((fake.count("cuIpcCloseMemHandle"), fake.count("cuMemFree_v2")), (1, 0));
    let error = device.allocate(16).unwrap().ipc_handle().unwrap_err();
    assert_eq!(error.code, CudaErrorCode::Unsupported);
    assert!(error.message.contains("allocate_shareable"), "{error}");
    drop((memory, device));
    fake.assert_clean();
}

#[test]
fn a_driver_that_can_not_share_memory_says_so() {
    let fake = Fake::new();
    fake.lacks("cuIpcGetMemHandle");
    let device = fake.device();
    let error = device.allocate_shareable(16).unwrap().ipc_handle().unwrap_err();
    assert_eq!((error.code, error.function), (CudaErrorCode::Unsupported, "cuIpcGetMemHandle"));
    // SAFETY: refused.
    let error = unsafe { device.open_ipc([0; 64], 16) }.err().unwrap();
    assert_eq!((error.code, error.function), (CudaErrorCode::Unsupported, "cuIpcOpenMemHandle_v2"));
}
