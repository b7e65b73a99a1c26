//! The driver's functions over a [`Fake`].

#![allow(non_snake_case)] // NVIDIA's names.

use super::{Fake, Launch};
use crate::lock;
use crate::sys::*;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::atomic::Ordering;

/// Defines the functions, each of which first notes its call, and the table of their names.
macro_rules! driver_functions {
    ($(fn $function:ident($fake:ident $(, $argument:ident: $type:ty)* $(,)?) $body:block)*) => {
        $(extern "C" fn $function($($argument: $type),*) -> Status {
            let $fake = Fake::current();
            if let Some(status) = $fake.enter(stringify!($function)) {
                return status;
            }
            $body
            #[allow(unreachable_code)] // Some bodies end in a return.
            CUDA_SUCCESS
        })*

        /// The function of that name.
        pub(crate) fn symbol(name: &CStr) -> Option<*const c_void> {
            match name.to_bytes() {
                b"cuCtxSetCurrent" => Some(cuCtxSetCurrent as *const c_void),
                $(name if name == stringify!($function).as_bytes() => {
                    Some($function as *const c_void)
                })*
                _ => None,
            }
        }
    };
}

/// Writes where a caller wants its answer.
fn write<T>(target: *mut T, value: T) {
    // SAFETY: callers give a place for it.
    unsafe { target.write(value) };
}

/// A number that may go to another thread, as an address does not.
fn number<T>(pointer: *const T) -> u64 {
    pointer.addr() as u64
}

fn text(target: *mut *const c_char, error: Status, name: bool) -> Status {
    let (short, long) = match error {
        CUDA_ERROR_OUT_OF_MEMORY => (c"CUDA_ERROR_OUT_OF_MEMORY", c"out of memory"),
        CUDA_ERROR_NO_DEVICE => (c"CUDA_ERROR_NO_DEVICE", c"no CUDA-capable device is detected"),
        CUDA_ERROR_LAUNCH_FAILED => (c"CUDA_ERROR_LAUNCH_FAILED", c"unspecified launch failure"),
        CUDA_ERROR_STUB_LIBRARY => (c"CUDA_ERROR_STUB_LIBRARY", c"a stub library"),
        218 => (c"CUDA_ERROR_INVALID_PTX", c"a PTX JIT compilation failed"),
        500 => (c"CUDA_ERROR_NOT_FOUND", c"named symbol not found"),
        _ => {
            write(target, std::ptr::null());
            return 1;
        }
    };
    write(target, if name { short.as_ptr() } else { long.as_ptr() });
    CUDA_SUCCESS
}

fn copy(fake: &Fake, target: u64, source: u64, bytes: usize) {
    if let (Some(target), Some(source)) = (fake.at(target, bytes), fake.at(source, bytes)) {
        // SAFETY: both are there, as checked, and are different blocks or parts of one.
        unsafe { std::ptr::copy(source, target, bytes) };
    }
}

extern "C" fn cuCtxSetCurrent(context: ContextHandle) -> Status {
    Fake::set_current(context);
    Fake::current().enter("cuCtxSetCurrent").unwrap_or(CUDA_SUCCESS)
}

driver_functions! {
    fn cuInit(fake, _flags: c_uint) {
        if fake.devices.load(Ordering::Relaxed) == 0 {
            return CUDA_ERROR_NO_DEVICE;
        }
    }
    fn cuDriverGetVersion(fake, version: *mut c_int) {
        write(version, fake.version.load(Ordering::Relaxed));
    }
    fn cuGetErrorName(_fake, error: Status, name: *mut *const c_char) {
        return text(name, error, true);
    }
    fn cuGetErrorString(_fake, error: Status, string: *mut *const c_char) {
        return text(string, error, false);
    }
    fn cuDeviceGetCount(fake, count: *mut c_int) {
        write(count, fake.devices.load(Ordering::Relaxed));
    }
    fn cuDeviceGet(_fake, device: *mut DeviceNumber, ordinal: c_int) { write(device, ordinal); }
    fn cuDeviceGetName(_fake, name: *mut c_char, _length: c_int, device: DeviceNumber) {
        let text = format!("Fake {device}\0");
        // SAFETY: the caller's room is larger.
        unsafe { text.as_ptr().copy_to(name.cast(), text.len()) };
    }
    fn cuDeviceGetAttribute(fake, value: *mut c_int, attribute: c_int, _device: DeviceNumber) {
        write(value, match attribute {
            CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT => 132,
            CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR => 9,
            CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR => 0,
            CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN => 232_448,
            CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED => {
                fake.pools.load(Ordering::Relaxed).into()
            }
            _ => return 1,
        });
    }
    fn cuDeviceTotalMem_v2(fake, bytes: *mut usize, _device: DeviceNumber) {
        write(bytes, fake.capacity.load(Ordering::Relaxed));
    }
    fn cuDeviceGetUuid(_fake, uuid: *mut [u8; 16], device: DeviceNumber) {
        write(uuid, [device as u8 + 1; 16]);
    }
    fn cuDevicePrimaryCtxRetain(fake, context: *mut ContextHandle, _device: DeviceNumber) {
        write(context, fake.context());
    }
    fn cuDevicePrimaryCtxRelease_v2(_fake, _device: DeviceNumber) {}
    fn cuMemGetInfo_v2(fake, free: *mut usize, total: *mut usize) {
        let capacity = fake.capacity.load(Ordering::Relaxed);
        write(free, capacity - fake.used());
        write(total, capacity);
    }
    fn cuStreamCreate(fake, stream: *mut StreamHandle, _flags: c_uint) {
        write(stream, fake.new_stream());
    }
    fn cuStreamDestroy_v2(_fake, _stream: StreamHandle) {}
    fn cuStreamSynchronize(fake, stream: StreamHandle) { fake.run(fake.position(stream)); }
    fn cuStreamQuery(fake, stream: StreamHandle) {
        if !fake.is_done(stream) {
            return CUDA_ERROR_NOT_READY;
        }
    }
    fn cuStreamWaitEvent(fake, stream: StreamHandle, event: EventHandle, _flags: c_uint) {
        if let Some(position) = fake.event(event) {
            fake.enqueue(stream, move |fake| fake.run(position));
        }
    }
    fn cuEventCreate(fake, event: *mut EventHandle, _flags: c_uint) {
        write(event, fake.new_event());
    }
    fn cuEventRecord(fake, event: EventHandle, stream: StreamHandle) {
        let position = fake.position(stream);
        lock(&fake.events)[event.0.addr() - 1] = Some(position);
    }
    fn cuEventSynchronize(fake, event: EventHandle) {
        if let Some(position) = fake.event(event) {
            fake.run(position);
        }
    }
    fn cuEventElapsedTime(_fake, milliseconds: *mut f32, _start: EventHandle, _end: EventHandle) {
        write(milliseconds, 1.5);
    }
    fn cuEventDestroy_v2(_fake, _event: EventHandle) {}
    fn cuMemAlloc_v2(fake, address: *mut Address, bytes: usize) {
        match fake.allocate(bytes, false) {
            Some(block) => write(address, block),
            None => return CUDA_ERROR_OUT_OF_MEMORY,
        }
    }
    fn cuMemFree_v2(fake, address: Address) { fake.free(address); }
    fn cuMemHostAlloc(fake, pointer: *mut *mut c_void, bytes: usize, _flags: c_uint) {
        match fake.allocate(bytes, true) {
            Some(block) => write(pointer, block as *mut c_void),
            None => return CUDA_ERROR_OUT_OF_MEMORY,
        }
    }
    fn cuMemFreeHost(fake, pointer: *mut c_void) { fake.free(number(pointer)); }
    fn cuMemcpyHtoDAsync_v2(
        fake, target: Address, source: *const c_void, bytes: usize, stream: StreamHandle,
    ) {
        let source = number(source);
        fake.enqueue(stream, move |fake| copy(fake, target, source, bytes));
    }
    fn cuMemcpyDtoHAsync_v2(
        fake, target: *mut c_void, source: Address, bytes: usize, stream: StreamHandle,
    ) {
        let target = number(target);
        fake.enqueue(stream, move |fake| copy(fake, target, source, bytes));
    }
    fn cuMemcpyDtoDAsync_v2(
        fake, target: Address, source: Address, bytes: usize, stream: StreamHandle,
    ) {
        fake.enqueue(stream, move |fake| copy(fake, target, source, bytes));
    }
    fn cuMemsetD8Async(fake, target: Address, byte: u8, bytes: usize, stream: StreamHandle) {
        fake.enqueue(stream, move |fake| {
            if let Some(target) = fake.at(target, bytes) {
                // SAFETY: it is there, as checked.
                unsafe { target.write_bytes(byte, bytes) };
            }
        });
    }
    fn cuModuleLoadDataEx(
        fake,
        module: *mut ModuleHandle,
        image: *const c_void,
        options: c_uint,
        names: *mut c_int,
        values: *mut *mut c_void,
    ) {
        assert_eq!(options, 2);
        // SAFETY: two options with their values, the log's room and its size.
        let (names, values) = unsafe {
            (*names.cast::<[c_int; 2]>(), *values.cast::<[*mut c_void; 2]>())
        };
        assert_eq!(names, [CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES]);
        if let Some(log) = lock(&fake.compiler_log).take() {
            assert!(log.len() < values[1].addr());
            // SAFETY: there is room, as asserted.
            unsafe { log.as_ptr().copy_to(values[0].cast(), log.len()) };
            return 218;
        }
        // SAFETY: the tests' images are text that ends in a zero byte.
        let image = unsafe { CStr::from_ptr(image.cast()) }.to_bytes().to_vec();
        let mut modules = lock(&fake.modules);
        modules.push(image);
        write(module, ModuleHandle(std::ptr::without_provenance_mut(modules.len())));
    }
    fn cuModuleGetFunction(
        fake, function: *mut FunctionHandle, module: ModuleHandle, name: *const c_char,
    ) {
        // SAFETY: names end in a zero byte.
        let name = unsafe { CStr::from_ptr(name) }.to_str().unwrap();
        let image = lock(&fake.modules)[module.0.addr() - 1].clone();
        let image = String::from_utf8(image).unwrap();
        // A line names a kernel and says its arguments: "axpy pilf".
        let Some(line) = image.lines().find(|line| line.split(' ').next() == Some(name)) else {
            return 500;
        };
        let arguments = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut functions = lock(&fake.functions);
        functions.push((name.to_owned(), arguments));
        write(function, FunctionHandle(std::ptr::without_provenance_mut(functions.len())));
    }
    fn cuModuleUnload(_fake, _module: ModuleHandle) {}
    fn cuFuncSetAttribute(_fake, _function: FunctionHandle, attribute: c_int, _value: c_int) {
        assert_eq!(attribute, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES);
    }
    fn cuLaunchKernel(
        fake,
        function: FunctionHandle,
        grid_x: c_uint,
        grid_y: c_uint,
        grid_z: c_uint,
        block_x: c_uint,
        block_y: c_uint,
        block_z: c_uint,
        shared_bytes: c_uint,
        stream: StreamHandle,
        parameters: *mut *mut c_void,
        extra: *mut *mut c_void,
    ) {
        assert!(extra.is_null());
        assert_eq!(stream.0.addr(), 1, "the compute stream is made first");
        let (name, kinds) = lock(&fake.functions)[function.0.addr() - 1].clone();
        let arguments = kinds.bytes().enumerate().map(|(index, kind)| {
            // SAFETY: as many parameters as the kernel has, each of its kind.
            unsafe {
                let value = *parameters.add(index);
                match kind {
                    b'p' => format!("pointer {}", *value.cast::<u64>()),
                    b'i' => format!("i32 {}", *value.cast::<i32>()),
                    b'l' => format!("i64 {}", *value.cast::<i64>()),
                    _ => format!("f32 {}", *value.cast::<f32>()),
                }
            }
        });
        lock(&fake.launches).push(Launch {
            name,
            grid: [grid_x, grid_y, grid_z],
            block: [block_x, block_y, block_z],
            shared_bytes,
            arguments: arguments.collect(),
        });
    }
    fn cuMemPoolCreate(_fake, pool: *mut PoolHandle, properties: *const PoolProperties) {
        // SAFETY: the caller's properties.
        let properties = unsafe { &*properties };
        assert_eq!(properties.allocation_type, CU_MEM_ALLOCATION_TYPE_PINNED);
        assert_eq!(properties.location.kind, CU_MEM_LOCATION_TYPE_DEVICE);
        write(pool, PoolHandle(std::ptr::without_provenance_mut(1)));
    }
    fn cuMemPoolDestroy(_fake, _pool: PoolHandle) {}
    fn cuMemPoolSetAttribute(_fake, _pool: PoolHandle, attribute: c_int, value: *mut c_void) {
        assert_eq!(attribute, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD);
        // SAFETY: the attribute is a 64-bit number.
        assert_eq!(unsafe { *value.cast::<u64>() }, u64::MAX);
    }
    fn cuMemPoolTrimTo(fake, _pool: PoolHandle, keep: usize) {
        fake.idle.store(keep, Ordering::Relaxed);
    }
    fn cuMemAllocFromPoolAsync(
        fake, address: *mut Address, bytes: usize, _pool: PoolHandle, _stream: StreamHandle,
    ) {
        match fake.allocate(bytes, false) {
            Some(block) => write(address, block),
            None => return CUDA_ERROR_OUT_OF_MEMORY,
        }
    }
    fn cuMemFreeAsync(fake, address: Address, stream: StreamHandle) {
        fake.enqueue(stream, move |fake| fake.free(address));
    }
    fn cuIpcGetMemHandle(_fake, handle: *mut IpcHandle, address: Address) {
        let mut bytes = [0; 64];
        bytes[..8].copy_from_slice(&address.to_le_bytes());
        write(handle, IpcHandle(bytes));
    }
    fn cuIpcOpenMemHandle_v2(_fake, address: *mut Address, handle: IpcHandle, _flags: c_uint) {
        write(address, u64::from_le_bytes(handle.0[..8].try_into().unwrap()));
    }
    fn cuIpcCloseMemHandle(_fake, _address: Address) {}
}
