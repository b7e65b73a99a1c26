//! What the environment says about the device, in a process of its own.

mod device;

use std::process::Command;
use std::ptr::null_mut;

use device::{Device, INVALID_CONTEXT, OUT_OF_MEMORY, SUCCESS, kernel};

/// Runs this test file's test `name` again with the variables set.
fn again(name: &str, variables: &[(&str, &str)]) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .envs(variables.iter().copied())
        .env("EMULATOR_TEST_AGAIN", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn is_again() -> bool {
    std::env::var_os("EMULATOR_TEST_AGAIN").is_some()
}

#[test]
fn memory_is_as_large_as_it_says() {
    if !is_again() {
        return again("memory_is_as_large_as_it_says", &[("WAN_EMULATOR_MEMORY", "1000")]);
    }
    let device = Device::open();
    let first = device.allocate(600);
    let mut address = 0;
    // SAFETY: a pointer of this frame.
    let status = unsafe { (device.functions.cuMemAlloc_v2)(&mut address, 500) };
    assert_eq!(status, OUT_OF_MEMORY);
    assert_eq!(device.check(status).unwrap_err().text, "500 bytes asked for, 400 free");
    device.free(first);
    device.free(device.allocate(1000));
}

#[test]
fn there_are_as_many_devices_as_it_says() {
    if !is_again() {
        return again("there_are_as_many_devices_as_it_says", &[("WAN_EMULATOR_DEVICES", "2")]);
    }
    let device = Device::open();
    let functions = &device.functions;
    let (mut count, mut second) = (0, null_mut());
    let module = device.load(&kernel("", "")).unwrap();
    let function = device.function(module, "test").unwrap();
    let on_first = device.upload(&[1_u32, 2]);
    // SAFETY: pointers of this frame.
    unsafe {
        assert_eq!((functions.cuDeviceGetCount)(&mut count), SUCCESS);
        assert_eq!((functions.cuDevicePrimaryCtxRetain)(&mut second, 1), SUCCESS);
        assert_eq!((functions.cuCtxSetCurrent)(second), SUCCESS);
    }
    assert_eq!(count, 2);
    let outcome = device.launch(function, [1, 1, 1], 32, 0, &[]);
    assert_eq!(outcome.unwrap_err().status, INVALID_CONTEXT);
    // A kernel doesn't reach the other device's memory; a copy does.
    let text = kernel(".param .u64 a", "ld.param.u64 %rd1, [a]; ld.global.u32 %r1, [%rd1];");
    let arguments = [device::Argument::Pointer(on_first)];
    let outcome = device.run(&text, "test", [1, 1, 1], 32, 0, &arguments);
    assert_eq!(outcome.unwrap_err().status, device::ILLEGAL_ADDRESS);
    let on_second = device.allocate(8);
    // SAFETY: both hold 8 bytes.
    let status = unsafe { (functions.cuMemcpyDtoDAsync_v2)(on_second, on_first, 8, null_mut()) };
    assert_eq!(status, SUCCESS);
    assert_eq!(device.download::<u32>(on_second, 2), [1, 2]);
    // SAFETY: takes any device.
    unsafe {
        assert_eq!((functions.cuDevicePrimaryCtxRelease_v2)(1), SUCCESS);
        assert_eq!((functions.cuDevicePrimaryCtxRelease_v2)(1), INVALID_CONTEXT);
    }
}

#[test]
fn without_a_device_or_with_a_wrong_number_nothing_begins() {
    let name = "without_a_device_or_with_a_wrong_number_nothing_begins";
    if !is_again() {
        again(name, &[("WAN_EMULATOR_DEVICES", "0")]);
        return again(name, &[("WAN_EMULATOR_DEVICES", "many")]);
    }
    let wrong = std::env::var("WAN_EMULATOR_DEVICES").unwrap() == "many";
    let init = cuda_emulator::symbol(c"cuInit").unwrap();
    // SAFETY: the signature of cuda.h.
    let init: unsafe extern "C" fn(u32) -> i32 = unsafe { std::mem::transmute(init) };
    // SAFETY: takes any flags.
    assert_eq!(unsafe { init(0) }, if wrong { 1 } else { 100 });
    assert!(cuda_emulator::last_error().unwrap().contains("WAN_EMULATOR_DEVICES"));
}
