//! The driver's functions and their rules.

mod device;

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::{null, null_mut};

use device::Argument::Pointer;
use device::{
    Device, INVALID_CONTEXT, INVALID_HANDLE, INVALID_PTX, INVALID_VALUE, NO_BINARY_FOR_GPU,
    NOT_FOUND, NOT_SUPPORTED, OUT_OF_MEMORY, SUCCESS, kernel,
};

#[test]
fn the_device_describes_itself() {
    let device = Device::open();
    let functions = &device.functions;
    let (mut version, mut count, mut number) = (0, 0, -1);
    let mut name = [1 as c_char; 100];
    let mut bytes = 0;
    let mut uuid = [0; 16];
    let attribute = |attribute: c_int| {
        let mut value = -1;
        // SAFETY: pointers of this frame.
        let status = unsafe { (functions.cuDeviceGetAttribute)(&mut value, attribute, 0) };
        (status, value)
    };
    // SAFETY: pointers of this frame.
    unsafe {
        assert_eq!((functions.cuDriverGetVersion)(&mut version), SUCCESS);
        assert_eq!((functions.cuDeviceGetCount)(&mut count), SUCCESS);
        assert_eq!((functions.cuDeviceGet)(&mut number, 0), SUCCESS);
        assert_eq!((functions.cuDeviceGetName)(name.as_mut_ptr(), 100, 0), SUCCESS);
        assert_eq!((functions.cuDeviceTotalMem_v2)(&mut bytes, 0), SUCCESS);
        assert_eq!((functions.cuDeviceGetUuid)(&mut uuid, 0), SUCCESS);
        assert_eq!((functions.cuDeviceGet)(&mut number, 7), 101);
        assert_eq!(CStr::from_ptr(name.as_ptr()), c"wan-ts emulated CUDA device");
        assert_eq!((functions.cuDeviceGetName)(name.as_mut_ptr(), 7, 0), SUCCESS);
        assert_eq!(CStr::from_ptr(name.as_ptr()), c"wan-ts");
    }
    assert!(version >= 12_000 && bytes >= 1 << 30 && uuid != [0; 16]);
    assert_eq!((count, number), (1, 0));
    // Compute capability, warp size, opt-in shared memory, pools.
    assert_eq!([75, 76, 10, 97, 115].map(|number| attribute(number).1), [99, 0, 32, 232_448, 1]);
    assert_eq!(attribute(9_999).0, INVALID_VALUE);
}

#[test]
fn every_function_of_the_list_is_found_and_no_other() {
    // `Device::open` looks all of them up.
    Device::open();
    assert!(cuda_emulator::symbol(c"cuMemcpyPeerAsync").is_none());
    assert!(cuda_emulator::symbol(c"").is_none());
}

#[test]
fn copies_and_fills_are_held_against_the_allocations() {
    let device = Device::open();
    let functions = &device.functions;
    let address = device.upload(&[1_u8, 2, 3, 4, 5, 6, 7, 8]);
    let mut host = [0_u8; 16];
    // SAFETY: the host's memory has the bytes that are copied.
    unsafe {
        let stream = null_mut();
        assert_eq!((functions.cuMemsetD8Async)(address + 6, 9, 2, stream), SUCCESS);
        assert_eq!((functions.cuMemcpyDtoDAsync_v2)(address, address + 5, 3, stream), SUCCESS);
        assert_eq!(device.download::<u8>(address, 8), [6, 9, 9, 4, 5, 6, 9, 9]);
        assert_eq!((functions.cuMemsetD8Async)(address + 6, 9, 3, stream), INVALID_VALUE);
        let target: *mut c_void = host.as_mut_ptr().cast();
        assert_eq!((functions.cuMemcpyDtoHAsync_v2)(target, address, 9, stream), INVALID_VALUE);
        assert_eq!((functions.cuMemcpyHtoDAsync_v2)(address - 1, target, 4, stream), INVALID_VALUE);
        assert_eq!((functions.cuMemFree_v2)(address + 1), INVALID_VALUE);
    }
    device.free(address);
    // SAFETY: takes any address.
    assert_eq!(unsafe { (functions.cuMemFree_v2)(address) }, INVALID_VALUE);
}

#[test]
fn memory_ends() {
    let device = Device::open();
    let functions = &device.functions;
    let mut address = 0;
    let (mut free, mut total) = (0, 0);
    // SAFETY: pointers of this frame.
    unsafe {
        assert_eq!((functions.cuMemGetInfo_v2)(&mut free, &mut total), SUCCESS);
        assert!(free <= total);
        assert_eq!((functions.cuMemAlloc_v2)(&mut address, total + 1), OUT_OF_MEMORY);
        assert_eq!((functions.cuMemAlloc_v2)(&mut address, 0), INVALID_VALUE);
    }
    let failed = device.check(OUT_OF_MEMORY).unwrap_err();
    assert_eq!(failed.name, "CUDA_ERROR_OUT_OF_MEMORY");
}

#[test]
fn pools_allocate_in_stream_order() {
    let device = Device::open();
    let functions = &device.functions;
    // CUmemPoolProps: pinned memory on device 0.
    let mut properties = [0_u32; 22];
    (properties[0], properties[2]) = (1, 1);
    let (mut pool, mut stream, mut address) = (null_mut(), null_mut(), 0);
    let mut threshold = u64::MAX;
    // SAFETY: pointers of this frame; the properties are as long as CUDA's.
    unsafe {
        assert_eq!((functions.cuMemPoolCreate)(&mut pool, properties.as_ptr().cast()), SUCCESS);
        let value = (&raw mut threshold).cast();
        assert_eq!((functions.cuMemPoolSetAttribute)(pool, 4, value), SUCCESS);
        assert_eq!((functions.cuStreamCreate)(&mut stream, 1), SUCCESS);
        let status = (functions.cuMemAllocFromPoolAsync)(&mut address, 64, pool, stream);
        assert_eq!(status, SUCCESS);
        assert_eq!((functions.cuMemsetD8Async)(address, 7, 64, stream), SUCCESS);
        assert_eq!((functions.cuStreamSynchronize)(stream), SUCCESS);
        assert_eq!(device.download::<u8>(address, 64), [7; 64]);
        assert_eq!((functions.cuMemFreeAsync)(address, stream), SUCCESS);
        assert_eq!((functions.cuMemFreeAsync)(address, stream), INVALID_VALUE);
        assert_eq!((functions.cuMemPoolTrimTo)(pool, 0), SUCCESS);
        assert_eq!((functions.cuMemPoolDestroy)(pool), SUCCESS);
        assert_eq!((functions.cuMemPoolDestroy)(pool), INVALID_HANDLE);
        assert_eq!((functions.cuStreamDestroy_v2)(stream), SUCCESS);
        assert_eq!((functions.cuStreamSynchronize)(stream), INVALID_HANDLE);
    }
}

#[test]
fn streams_events_and_pinned_memory() {
    let device = Device::open();
    let functions = &device.functions;
    let (mut stream, mut start, mut end, mut pinned) =
        (null_mut(), null_mut(), null_mut(), null_mut());
    let mut milliseconds = -1.0;
    // SAFETY: pointers of this frame.
    unsafe {
        assert_eq!((functions.cuStreamCreate)(&mut stream, 1), SUCCESS);
        assert_eq!((functions.cuEventCreate)(&mut start, 0), SUCCESS);
        assert_eq!((functions.cuEventCreate)(&mut end, 0), SUCCESS);
        let elapsed = functions.cuEventElapsedTime;
        assert_eq!((functions.cuEventRecord)(start, stream), SUCCESS);
        assert_eq!(elapsed(&mut milliseconds, start, end), INVALID_HANDLE);
        assert_eq!((functions.cuEventRecord)(end, stream), SUCCESS);
        assert_eq!((functions.cuEventSynchronize)(end), SUCCESS);
        assert_eq!((functions.cuStreamWaitEvent)(stream, end, 0), SUCCESS);
        assert_eq!((functions.cuStreamQuery)(stream), SUCCESS);
        assert_eq!(elapsed(&mut milliseconds, start, end), SUCCESS);
        assert!(milliseconds >= 0.0);
        assert_eq!((functions.cuEventDestroy_v2)(end), SUCCESS);
        assert_eq!((functions.cuEventSynchronize)(end), INVALID_HANDLE);
        assert_eq!((functions.cuEventDestroy_v2)(start), SUCCESS);
        assert_eq!((functions.cuStreamDestroy_v2)(stream), SUCCESS);
        assert_eq!((functions.cuMemHostAlloc)(&mut pinned, 4096, 0), SUCCESS);
        pinned.cast::<u8>().write_bytes(3, 4096);
        assert_eq!((functions.cuMemFreeHost)(pinned), SUCCESS);
        assert_eq!((functions.cuMemFreeHost)(pinned), INVALID_VALUE);
    }
}

#[test]
fn a_thread_needs_a_context() {
    let device = Device::open();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut address = 0;
            // SAFETY: a pointer of this frame.
            let status = unsafe { (device.functions.cuMemAlloc_v2)(&mut address, 64) };
            assert_eq!(status, INVALID_CONTEXT);
            assert!(device.check(status).unwrap_err().text.contains("cuCtxSetCurrent"));
        });
    });
}

#[test]
fn modules_tell_why_they_are_refused() {
    let device = Device::open();
    let functions = &device.functions;
    let mut module = null_mut();
    let load = functions.cuModuleLoadDataEx;
    let mut log = [0_u8; 200];
    let mut options = [5, 6];
    let mut values: [*mut c_void; 2] = [log.as_mut_ptr().cast(), 200 as *mut c_void];
    let wrong = c".version 8.0\n.target sm_80\n.visible .entry k() {\nwrong %r1;\n}";
    // SAFETY: images end with a NUL; the log has the bytes that its size says.
    unsafe {
        let image: *const c_void = c"\x7fELF compiled".as_ptr().cast();
        assert_eq!(load(&mut module, image, 0, null_mut(), null_mut()), NO_BINARY_FOR_GPU);
        let image = wrong.as_ptr().cast();
        let status = load(&mut module, image, 2, options.as_mut_ptr(), values.as_mut_ptr());
        assert_eq!(status, INVALID_PTX);
        assert_eq!(load(&mut module, null(), 0, null_mut(), null_mut()), INVALID_VALUE);
    }
    let log = CStr::from_bytes_until_nul(&log).unwrap().to_str().unwrap();
    assert!(log.contains("line 4") && log.contains("%r1"), "{log}");
    let module = device.load(&kernel("", "")).unwrap();
    let failed = device.function(module, "other").unwrap_err();
    assert_eq!(failed.status, NOT_FOUND);
    assert!(failed.text.contains("test"), "{}", failed.text);
    // SAFETY: takes any handle.
    unsafe {
        assert_eq!((functions.cuModuleUnload)(module), SUCCESS);
        assert_eq!((functions.cuModuleUnload)(module), INVALID_HANDLE);
    }
}

#[test]
fn variables_of_a_module_lie_in_device_memory() {
    let device = Device::open();
    let text = kernel(
        ".param .u64 output",
        "ld.param.u64 %rd1, [output]; mov.u32 %r1, %tid.x; and.b32 %r2, %r1, 3;\n\
         mov.u64 %rd2, table; mad.wide.u32 %rd2, %r2, 4, %rd2; ld.global.nc.u32 %r3, [%rd2];\n\
         ld.const.u32 %r4, [factor+4]; mul.lo.s32 %r3, %r3, %r4;\n\
         mad.wide.u32 %rd1, %r1, 4, %rd1; st.global.u32 [%rd1], %r3;",
    );
    let declared = ".global .align 4 .u32 table[4] = {10, 20, 30};\n\
         .const .align 4 .u32 factor[2] = {1, 3};\n.visible .entry";
    let text = text.replace(".visible .entry", declared);
    let output = device.allocate(4 * 32);
    device.run(&text, "test", [1, 1, 1], 32, 0, &[Pointer(output)]).unwrap();
    assert_eq!(device.download::<u32>(output, 4), [30, 60, 90, 0]);
    device.free(output);
}

#[test]
fn launches_are_held_against_the_device_and_the_kernel() {
    let device = Device::open();
    let functions = &device.functions;
    let text = kernel("", "").replace("test()\n", "test()\n.reqntid 64\n");
    let module = device.load(&text).unwrap();
    let function = device.function(module, "test").unwrap();
    let launch = |grid, threads, shared| {
        device.launch(function, grid, threads, shared, &[]).map_err(|failed| failed.status)
    };
    assert_eq!(launch([1, 1, 1], 64, 48 << 10), Ok(()));
    assert_eq!(launch([1, 65_536, 1], 64, 0), Err(INVALID_VALUE));
    assert_eq!(launch([0, 1, 1], 64, 0), Err(INVALID_VALUE));
    assert_eq!(launch([1, 1, 1], 32, 0), Err(INVALID_VALUE));
    assert_eq!(launch([1, 1, 1], 64, 100 << 10), Err(INVALID_VALUE));
    let attribute = functions.cuFuncSetAttribute;
    // SAFETY: takes any values.
    unsafe {
        assert_eq!(attribute(function, 8, 300 << 10), INVALID_VALUE);
        assert_eq!(attribute(function, 8, 227 << 10), SUCCESS);
    }
    assert_eq!(launch([1, 1, 1], 64, 227 << 10), Ok(()));
    // SAFETY: the module is loaded.
    assert_eq!(unsafe { (functions.cuModuleUnload)(module) }, SUCCESS);
    assert_eq!(launch([1, 1, 1], 64, 0), Err(INVALID_HANDLE));
}

#[test]
fn memory_of_other_processes_is_not_supported() {
    let device = Device::open();
    let mut handle = [0_u64; 8];
    let mut address = 0;
    // SAFETY: pointers of this frame.
    unsafe {
        let target = handle.as_mut_ptr().cast();
        assert_eq!((device.functions.cuIpcGetMemHandle)(target, 64), NOT_SUPPORTED);
        let open = device.functions.cuIpcOpenMemHandle_v2;
        assert_eq!(open(&mut address, handle, 1), NOT_SUPPORTED);
        assert_eq!((device.functions.cuIpcCloseMemHandle)(64), NOT_SUPPORTED);
    }
}
