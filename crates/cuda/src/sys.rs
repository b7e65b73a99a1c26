//! The driver's functions and numbers as `cuda.h` of CUDA 13.2 declares them. Nothing here checks.

use crate::table::function_table;
use std::ffi::{c_char, c_int, c_uint, c_void};

/// `CUresult`.
pub type Status = c_int;
/// `CUdevice`: a device's number within the driver.
pub type DeviceNumber = c_int;
/// `CUdeviceptr`.
pub type Address = u64;

/// Declares the driver's opaque handles.
macro_rules! handles {
    ($($(#[$attribute:meta])* $handle:ident;)*) => {$(
        $(#[$attribute])*
        #[repr(transparent)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $handle(pub *mut c_void);

        impl $handle {
            /// The handle of nothing, to be written over.
            pub const NULL: $handle = $handle(std::ptr::null_mut());
        }

        // SAFETY: a number to this process. The driver takes a handle from any thread, and locks.
        unsafe impl Send for $handle {}
        // SAFETY: as above.
        unsafe impl Sync for $handle {}
    )*};
}

handles! {
    /// `CUcontext`.
    ContextHandle;
    /// `CUstream`.
    StreamHandle;
    /// `CUevent`.
    EventHandle;
    /// `CUmemoryPool`.
    PoolHandle;
    /// `CUmodule`.
    ModuleHandle;
    /// `CUfunction`.
    FunctionHandle;
}

/// `CUmemLocation`.
#[repr(C)]
pub struct MemoryLocation {
    pub kind: c_int,
    pub id: c_int,
}

/// `CUmemPoolProps`.
#[repr(C)]
pub struct PoolProperties {
    pub allocation_type: c_int,
    pub handle_types: c_int,
    pub location: MemoryLocation,
    pub win32_security_attributes: *mut c_void,
    pub max_size: usize,
    pub usage: u16,
    pub reserved: [u8; 54],
}

/// `CUipcMemHandle`: what names an allocation to other processes of the machine.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct IpcHandle(pub [u8; 64]);

/// `CUtensorMap`: which of a tensor's numbers a copy takes, in the device's own words.
#[repr(C, align(64))]
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TensorMap(pub [u8; 128]);

pub const CUDA_SUCCESS: Status = 0;
pub const CUDA_ERROR_OUT_OF_MEMORY: Status = 2;
pub const CUDA_ERROR_STUB_LIBRARY: Status = 34;
pub const CUDA_ERROR_NO_DEVICE: Status = 100;
pub const CUDA_ERROR_INVALID_DEVICE: Status = 101;
pub const CUDA_ERROR_NO_BINARY_FOR_GPU: Status = 209;
pub const CUDA_ERROR_ECC_UNCORRECTABLE: Status = 214;
pub const CUDA_ERROR_UNSUPPORTED_PTX_VERSION: Status = 222;
pub const CUDA_ERROR_NOT_READY: Status = 600;
pub const CUDA_ERROR_ILLEGAL_ADDRESS: Status = 700;
pub const CUDA_ERROR_LAUNCH_TIMEOUT: Status = 702;
pub const CUDA_ERROR_ASSERT: Status = 710;
pub const CUDA_ERROR_HARDWARE_STACK_ERROR: Status = 714;
pub const CUDA_ERROR_ILLEGAL_INSTRUCTION: Status = 715;
pub const CUDA_ERROR_MISALIGNED_ADDRESS: Status = 716;
pub const CUDA_ERROR_INVALID_ADDRESS_SPACE: Status = 717;
pub const CUDA_ERROR_INVALID_PC: Status = 718;
pub const CUDA_ERROR_LAUNCH_FAILED: Status = 719;
pub const CUDA_ERROR_NOT_SUPPORTED: Status = 801;
pub const CUDA_ERROR_SYSTEM_DRIVER_MISMATCH: Status = 803;

pub const CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: c_int = 16;
pub const CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: c_int = 75;
pub const CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: c_int = 76;
pub const CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN: c_int = 97;
pub const CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED: c_int = 115;

pub const CU_MEM_ALLOCATION_TYPE_PINNED: c_int = 1;
pub const CU_MEM_HANDLE_TYPE_NONE: c_int = 0;
pub const CU_MEM_LOCATION_TYPE_DEVICE: c_int = 1;
pub const CU_MEMPOOL_ATTR_RELEASE_THRESHOLD: c_int = 4;

pub const CU_STREAM_NON_BLOCKING: c_uint = 1;
pub const CU_EVENT_BLOCKING_SYNC: c_uint = 1;
pub const CU_EVENT_DISABLE_TIMING: c_uint = 2;
pub const CU_MEMHOSTALLOC_PORTABLE: c_uint = 1;
pub const CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES: c_int = 8;
pub const CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS: c_uint = 1;

pub const CU_TENSOR_MAP_DATA_TYPE_FLOAT16: c_int = 6;
pub const CU_TENSOR_MAP_DATA_TYPE_BFLOAT16: c_int = 9;
pub const CU_TENSOR_MAP_INTERLEAVE_NONE: c_int = 0;
pub const CU_TENSOR_MAP_SWIZZLE_128B: c_int = 3;
pub const CU_TENSOR_MAP_L2_PROMOTION_256B: c_int = 3;
pub const CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE: c_int = 0;

pub const CU_JIT_ERROR_LOG_BUFFER: c_int = 5;
pub const CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES: c_int = 6;

function_table! {
    /// What every driver exports since CUDA 9.
    DriverFunctions {
        fn cuInit(flags: c_uint) -> Status;
        fn cuDriverGetVersion(version: *mut c_int) -> Status;
        fn cuGetErrorName(error: Status, name: *mut *const c_char) -> Status;
        fn cuGetErrorString(error: Status, text: *mut *const c_char) -> Status;
        fn cuDeviceGetCount(count: *mut c_int) -> Status;
        fn cuDeviceGet(device: *mut DeviceNumber, ordinal: c_int) -> Status;
        fn cuDeviceGetName(name: *mut c_char, length: c_int, device: DeviceNumber) -> Status;
        fn cuDeviceGetAttribute(
            value: *mut c_int, attribute: c_int, device: DeviceNumber,
        ) -> Status;
        fn cuDeviceTotalMem_v2(bytes: *mut usize, device: DeviceNumber) -> Status;
        fn cuDevicePrimaryCtxRetain(context: *mut ContextHandle, device: DeviceNumber) -> Status;
        fn cuDevicePrimaryCtxRelease_v2(device: DeviceNumber) -> Status;
        fn cuCtxSetCurrent(context: ContextHandle) -> Status;
        fn cuMemGetInfo_v2(free: *mut usize, total: *mut usize) -> Status;
        fn cuStreamCreate(stream: *mut StreamHandle, flags: c_uint) -> Status;
        fn cuStreamDestroy_v2(stream: StreamHandle) -> Status;
        fn cuStreamSynchronize(stream: StreamHandle) -> Status;
        fn cuStreamQuery(stream: StreamHandle) -> Status;
        fn cuStreamWaitEvent(stream: StreamHandle, event: EventHandle, flags: c_uint) -> Status;
        fn cuEventCreate(event: *mut EventHandle, flags: c_uint) -> Status;
        fn cuEventRecord(event: EventHandle, stream: StreamHandle) -> Status;
        fn cuEventSynchronize(event: EventHandle) -> Status;
        fn cuEventElapsedTime(
            milliseconds: *mut f32, start: EventHandle, end: EventHandle,
        ) -> Status;
        fn cuEventDestroy_v2(event: EventHandle) -> Status;
        fn cuMemAlloc_v2(address: *mut Address, bytes: usize) -> Status;
        fn cuMemFree_v2(address: Address) -> Status;
        fn cuMemHostAlloc(pointer: *mut *mut c_void, bytes: usize, flags: c_uint) -> Status;
        fn cuMemFreeHost(pointer: *mut c_void) -> Status;
        fn cuMemcpyHtoDAsync_v2(
            target: Address, source: *const c_void, bytes: usize, stream: StreamHandle,
        ) -> Status;
        fn cuMemcpyDtoHAsync_v2(
            target: *mut c_void, source: Address, bytes: usize, stream: StreamHandle,
        ) -> Status;
        fn cuMemcpyDtoDAsync_v2(
            target: Address, source: Address, bytes: usize, stream: StreamHandle,
        ) -> Status;
        fn cuMemsetD8Async(
            target: Address, byte: u8, bytes: usize, stream: StreamHandle,
        ) -> Status;
        fn cuModuleLoadDataEx(
            module: *mut ModuleHandle,
            image: *const c_void,
            options: c_uint,
            names: *mut c_int,
            values: *mut *mut c_void,
        ) -> Status;
        fn cuModuleGetFunction(
            function: *mut FunctionHandle, module: ModuleHandle, name: *const c_char,
        ) -> Status;
        fn cuModuleUnload(module: ModuleHandle) -> Status;
        fn cuFuncSetAttribute(function: FunctionHandle, attribute: c_int, value: c_int) -> Status;
        fn cuLaunchKernel(
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
        ) -> Status;
    }
}

function_table! {
    /// Stream-ordered allocation, since CUDA 11.2.
    PoolFunctions {
        fn cuMemPoolCreate(pool: *mut PoolHandle, properties: *const PoolProperties) -> Status;
        fn cuMemPoolDestroy(pool: PoolHandle) -> Status;
        fn cuMemPoolSetAttribute(
            pool: PoolHandle, attribute: c_int, value: *mut c_void,
        ) -> Status;
        fn cuMemPoolTrimTo(pool: PoolHandle, keep: usize) -> Status;
        fn cuMemAllocFromPoolAsync(
            address: *mut Address, bytes: usize, pool: PoolHandle, stream: StreamHandle,
        ) -> Status;
        fn cuMemFreeAsync(address: Address, stream: StreamHandle) -> Status;
    }
}

function_table! {
    /// Descriptions of tensors that kernels copy boxes of, since CUDA 12.
    TensorMapFunctions {
        fn cuTensorMapEncodeTiled(
            map: *mut TensorMap,
            data_type: c_int,
            rank: c_uint,
            address: *mut c_void,
            sizes: *const u64,
            strides: *const u64,
            box_sizes: *const u32,
            element_strides: *const u32,
            interleave: c_int,
            swizzle: c_int,
            l2_promotion: c_int,
            out_of_bounds_fill: c_int,
        ) -> Status;
    }
}

function_table! {
    /// Memory of other processes; not on every system.
    IpcFunctions {
        fn cuIpcGetMemHandle(handle: *mut IpcHandle, address: Address) -> Status;
        fn cuIpcOpenMemHandle_v2(
            address: *mut Address, handle: IpcHandle, flags: c_uint,
        ) -> Status;
        fn cuIpcCloseMemHandle(address: Address) -> Status;
    }
}

function_table! {
    /// Which piece of hardware a device is.
    UuidFunctions {
        fn cuDeviceGetUuid(uuid: *mut [u8; 16], device: DeviceNumber) -> Status;
    }
}

function_table! {
    /// The same, which tells parts of one GPU apart; since CUDA 11.4.
    PartUuidFunctions {
        fn cuDeviceGetUuid_v2(uuid: *mut [u8; 16], device: DeviceNumber) -> Status;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::{offset_of, size_of};

    #[test]
    fn structures_lie_as_in_the_header() {
        assert_eq!(size_of::<PoolProperties>(), 88);
        assert_eq!(offset_of!(PoolProperties, handle_types), 4);
        assert_eq!(offset_of!(PoolProperties, location), 8);
        assert_eq!(offset_of!(PoolProperties, win32_security_attributes), 16);
        assert_eq!(offset_of!(PoolProperties, max_size), 24);
        assert_eq!(offset_of!(PoolProperties, usage), 32);
        assert_eq!(offset_of!(PoolProperties, reserved), 34);
        assert_eq!((size_of::<MemoryLocation>(), offset_of!(MemoryLocation, id)), (8, 4));
        assert_eq!((size_of::<IpcHandle>(), align_of::<IpcHandle>()), (64, 1));
        assert_eq!((size_of::<TensorMap>(), align_of::<TensorMap>()), (128, 64));
    }
}
