//! What devices there are.

use std::ffi::{c_char, c_int};

use super::functions::{functions, put};
use super::state::{Emulator, lock};
use super::status::{Failure, Status};

/// The devices' name.
pub const NAME: &str = "wan-ts emulated CUDA device";

/// Bytes of shared memory that a launch may ask for without a function attribute.
pub const SHARED_MEMORY: usize = 48 << 10;

/// Bytes of shared memory that a launch may ask for with one.
pub const SHARED_MEMORY_MOST: usize = 227 << 10;

/// Most threads of a block.
pub const MOST_THREADS: u32 = 1024;

/// Most threads of a block along each axis.
pub const MOST_THREADS_ALONG: [u32; 3] = [1024, 1024, 64];

/// Most blocks of a grid along each axis.
pub const MOST_BLOCKS_ALONG: [u32; 3] = [i32::MAX as u32, 65_535, 65_535];

/// The compute capability where `WAN_EMULATOR_CAPABILITY` doesn't say: no image compiled for a GPU is
/// for this one, so that PTX is chosen.
pub const CAPABILITY: (u32, u32) = (99, 0);

/// The numbers are those of `CUdevice_attribute`.
fn attribute(number: c_int, capability: (u32, u32)) -> Option<c_int> {
    let cores = || std::thread::available_parallelism().map_or(1, |cores| cores.get() as c_int);
    Some(match number {
        1 => MOST_THREADS as c_int,
        axis @ 2..=4 => MOST_THREADS_ALONG[axis as usize - 2] as c_int,
        axis @ 5..=7 => MOST_BLOCKS_ALONG[axis as usize - 5] as c_int,
        // MAX_SHARED_MEMORY_PER_BLOCK, TOTAL_CONSTANT_MEMORY, WARP_SIZE, MAX_PITCH
        8 => SHARED_MEMORY as c_int,
        9 => 64 << 10,
        10 => 32,
        11 => c_int::MAX,
        // MAX_REGISTERS_PER_BLOCK, CLOCK_RATE
        12 => 65_536,
        13 => 1_000_000,
        // TEXTURE_ALIGNMENT, GPU_OVERLAP, MULTIPROCESSOR_COUNT, KERNEL_EXEC_TIMEOUT, INTEGRATED
        14 => 512,
        15 => 1,
        16 => cores(),
        17 => 0,
        18 => 1,
        // CAN_MAP_HOST_MEMORY, COMPUTE_MODE, CONCURRENT_KERNELS, ECC_ENABLED
        19 => 0,
        20 => 0,
        31 => 0,
        32 => 0,
        // PCI bus and device, TCC_DRIVER
        33..=35 => 0,
        // MEMORY_CLOCK_RATE, GLOBAL_MEMORY_BUS_WIDTH, L2_CACHE_SIZE, MAX_THREADS_PER_MULTIPROCESSOR
        36 => 1_000_000,
        37 => 64,
        38 => 1 << 20,
        39 => MOST_THREADS as c_int,
        // ASYNC_ENGINE_COUNT, UNIFIED_ADDRESSING, PCI_DOMAIN_ID
        40 => 0,
        41 => 1,
        50 => 0,
        75 => capability.0 as c_int,
        76 => capability.1 as c_int,
        // MAX_SHARED_MEMORY_PER_MULTIPROCESSOR, MAX_REGISTERS_PER_MULTIPROCESSOR, MANAGED_MEMORY
        81 => SHARED_MEMORY_MOST as c_int + 1024,
        82 => 65_536,
        83 => 0,
        // COOPERATIVE_LAUNCH, MAX_SHARED_MEMORY_PER_BLOCK_OPTIN
        95 => 0,
        97 => SHARED_MEMORY_MOST as c_int,
        // MAX_BLOCKS_PER_MULTIPROCESSOR, RESERVED_SHARED_MEMORY_PER_BLOCK, MEMORY_POOLS_SUPPORTED
        106 => 1,
        111 => 1024,
        115 => 1,
        _ => return None,
    })
}

functions! {
    /// How many devices there are.
    fn cuDeviceGetCount(count: *mut c_int) {
        let devices = Emulator::get()?.devices.len();
        // SAFETY: the caller's pointer.
        unsafe { put(count, devices as c_int) }
    }

    /// A device by its place.
    fn cuDeviceGet(target: *mut c_int, ordinal: c_int) {
        Emulator::get()?.device(ordinal)?;
        // SAFETY: the caller's pointer.
        unsafe { put(target, ordinal) }
    }

    /// A device's name, cut to `length` with its NUL.
    fn cuDeviceGetName(name: *mut c_char, length: c_int, device: c_int) {
        Emulator::get()?.device(device)?;
        let room = usize::try_from(length).unwrap_or(0);
        if room == 0 || name.is_null() {
            return Err(Failure::new(Status::INVALID_VALUE, "no room for the name"));
        }
        let kept = NAME.len().min(room - 1);
        // SAFETY: the caller's buffer has `length` bytes, of which at most all are written.
        unsafe {
            std::ptr::copy_nonoverlapping(NAME.as_ptr().cast(), name, kept);
            name.add(kept).write(0);
        }
        Ok(())
    }

    /// A property of a device.
    fn cuDeviceGetAttribute(value: *mut c_int, number: c_int, device: c_int) {
        let emulator = Emulator::get()?;
        emulator.device(device)?;
        let found = attribute(number, emulator.capability).ok_or_else(|| {
            let message = format!("the emulator doesn't know device attribute {number}");
            Failure::new(Status::INVALID_VALUE, message)
        })?;
        // SAFETY: the caller's pointer.
        unsafe { put(value, found) }
    }

    /// A device's memory in bytes.
    fn cuDeviceTotalMem_v2(bytes: *mut usize, device: c_int) {
        let total = lock(&Emulator::get()?.device(device)?.memory).total();
        // SAFETY: the caller's pointer.
        unsafe { put(bytes, total) }
    }

    /// 16 bytes that tell devices apart.
    fn cuDeviceGetUuid(uuid: *mut [u8; 16], device: c_int) {
        Emulator::get()?.device(device)?;
        let mut bytes = *b"wan-ts emulated\0";
        bytes[15] = device as u8;
        // SAFETY: the caller's pointer.
        unsafe { put(uuid, bytes) }
    }

    /// As `cuDeviceGetUuid`.
    fn cuDeviceGetUuid_v2(uuid: *mut [u8; 16], device: c_int) {
        // SAFETY: the caller's pointer.
        match unsafe { cuDeviceGetUuid(uuid, device) } {
            Status::SUCCESS => Ok(()),
            status => Err(Failure::new(status, format!("device {device}"))),
        }
    }

    /// Bytes of the current device's memory: free, and all.
    fn cuMemGetInfo_v2(free: *mut usize, total: *mut usize) {
        let (_, device) = Emulator::get()?.current()?;
        let memory = lock(&device.memory);
        // SAFETY: the caller's pointers.
        unsafe {
            put(free, memory.free_bytes())?;
            put(total, memory.total())
        }
    }
}
