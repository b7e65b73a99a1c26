//! Opening drivers and devices.

use crate::fake::Fake;
use crate::sys::CUDA_ERROR_STUB_LIBRARY;
use crate::{Allocation, CudaErrorCode, Device};
use std::sync::atomic::Ordering;

#[test]
fn a_driver_tells_its_version_and_counts_devices() {
    let fake = Fake::new();
    fake.devices.store(3, Ordering::Relaxed);
    let driver = fake.driver().unwrap();
    assert_eq!(
        (driver.version(), driver.device_count().unwrap(), driver.path()),
        ((12, 8), 3, None)
    );
}

#[test]
fn a_driver_without_a_needed_function_is_refused_by_all_their_names() {
    let fake = Fake::new();
    fake.lacks("cuMemcpyDtoHAsync_v2");
    fake.lacks("cuLaunchKernel");
    let error = fake.driver().err().unwrap();
    assert_eq!((error.code, error.function), (CudaErrorCode::NoDriver, "dlsym"));
    assert!(error.message.contains("cuMemcpyDtoHAsync_v2, cuLaunchKernel"), "{error}");
}

#[test]
fn a_driver_that_can_not_be_initialised_says_why() {
    let fake = Fake::new();
    fake.devices.store(0, Ordering::Relaxed);
    let error = fake.driver().err().unwrap();
    assert_eq!((error.code, error.function), (CudaErrorCode::NoDevice, "cuInit"));
    assert_eq!(error.name, "CUDA_ERROR_NO_DEVICE");
    assert!(error.message.contains("CUDA_VISIBLE_DEVICES"), "{error}");

    let fake = Fake::new();
    fake.fail("cuInit", CUDA_ERROR_STUB_LIBRARY);
    assert_eq!(fake.driver().err().unwrap().code, CudaErrorCode::NoDriver);

    let fake = Fake::new();
    fake.fail("cuInit", 987);
    let error = fake.driver().err().unwrap();
    assert_eq!((error.code, error.name.as_str()), (CudaErrorCode::Failed, "CUDA error 987"));
}

#[test]
fn a_device_says_what_it_is() {
    let fake = Fake::new();
    fake.devices.store(2, Ordering::Relaxed);
    let device = Device::open(&fake.driver().unwrap(), 1).unwrap();
    assert_eq!((device.index(), device.name()), (1, "Fake 1"));
    assert_eq!((device.compute_capability(), device.multiprocessors()), ((9, 0), 132));
    assert_eq!((device.total_memory(), device.free_memory().unwrap()), (64 << 20, 64 << 20));
    assert_eq!((device.shared_memory_per_block(), device.uuid()), (232_448, Some([2; 16])));
    assert_eq!(device.allocation(), &Allocation::StreamOrdered);
}

#[test]
fn a_device_that_is_not_there_is_refused_with_those_that_are() {
    let fake = Fake::new();
    let driver = fake.driver().unwrap();
    let error = Device::open(&driver, 4).err().unwrap();
    assert_eq!(error.code, CudaErrorCode::NoDevice);
    assert_eq!(error.message, "no CUDA device 4: there is one, number 0");
    fake.devices.store(3, Ordering::Relaxed);
    let error = Device::open(&driver, 3).err().unwrap();
    assert_eq!(error.message, "no CUDA device 3: there are 3, from 0 to 2");
}

#[test]
fn whatever_fails_while_a_device_is_opened_is_taken_back() {
    let made = ["cuStreamCreate", "cuMemPoolCreate", "cuMemPoolSetAttribute", "cuCtxSetCurrent"];
    for function in made {
        let fake = Fake::new();
        let driver = fake.driver().unwrap();
        fake.fail(function, 999);
        let error = Device::open(&driver, 0).err().unwrap();
        assert_eq!((error.code, error.function), (CudaErrorCode::Failed, function));
        assert_eq!(fake.count("cuDevicePrimaryCtxRetain"), 1, "{function}");
        assert_eq!(fake.count("cuDevicePrimaryCtxRelease_v2"), 1, "{function}");
        let pools = usize::from(function == "cuMemPoolSetAttribute");
        assert_eq!(fake.count("cuMemPoolDestroy"), pools, "{function}");
        fake.assert_clean();
    }
}

#[test]
fn a_dropped_device_takes_back_all_that_it_made() {
    let fake = Fake::new();
    let device = fake.device();
    let memory = device.allocate(100).unwrap();
    // SAFETY: 100 bytes, which live.
    unsafe { device.copy_to_device(memory.address(), &[1; 100]) }.unwrap();
    fake.take_calls();
    drop(device);
    assert_eq!(fake.take_calls(), Vec::<&str>::new(), "memory keeps its device");
    drop(memory);
    let calls = fake.take_calls();
    assert_eq!(calls[..3], ["cuMemFreeAsync", "cuStreamSynchronize", "cuStreamSynchronize"]);
    assert_eq!(calls.iter().filter(|name| **name == "cuEventDestroy_v2").count(), 4);
    let last = ["cuMemFreeHost", "cuMemPoolDestroy", "cuStreamDestroy_v2", "cuStreamDestroy_v2"];
    assert_eq!(calls[7..11], last);
    assert_eq!(calls[11..], ["cuDevicePrimaryCtxRelease_v2"]);
    fake.assert_clean();
}
