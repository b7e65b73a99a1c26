//! Memory pools: they keep their rules, and allocate as all else does.

use std::ffi::{c_int, c_void};

use super::functions::{functions, put};
use super::memory::allocate;
use super::state::{Emulator, lock};
use super::status::{Failure, Status};

/// A pool of a device.
pub struct Pool {
    device: usize,
}

/// `CUmemPoolProps`, as far as it is looked at.
#[repr(C)]
pub struct PoolProperties {
    allocation_type: c_int,
    handle_types: c_int,
    location_type: c_int,
    location: c_int,
}

/// `CU_MEM_ALLOCATION_TYPE_PINNED`.
const PINNED: c_int = 1;

/// `CU_MEM_LOCATION_TYPE_DEVICE`.
const ON_DEVICE: c_int = 1;

functions! {
    /// Makes a pool.
    fn cuMemPoolCreate(target: *mut *mut c_void, properties: *const PoolProperties) {
        let emulator = Emulator::get()?;
        // SAFETY: the caller's pointer, null or that of properties.
        let properties = unsafe { properties.as_ref() }
            .ok_or_else(|| Failure::new(Status::INVALID_VALUE, "no properties"))?;
        if properties.allocation_type != PINNED || properties.location_type != ON_DEVICE {
            let message = "a pool must be of pinned memory on a device";
            return Err(Failure::new(Status::INVALID_VALUE, message));
        }
        if properties.handle_types != 0 {
            return Err(Failure::new(Status::NOT_SUPPORTED, "pools can't be exported"));
        }
        emulator.device(properties.location)?;
        let pool = Pool { device: properties.location as usize };
        // SAFETY: the caller's pointer.
        unsafe { put(target, emulator.pools.insert(pool)) }
    }

    /// Destroys a pool. What was allocated from it stays.
    fn cuMemPoolDestroy(pool: *mut c_void) {
        Emulator::get()?.pools.remove(pool).map(|_| ())
    }

    /// Sets how a pool keeps memory, of which there is nothing to keep.
    fn cuMemPoolSetAttribute(pool: *mut c_void, attribute: c_int, value: *mut c_void) {
        Emulator::get()?.pools.get(pool)?;
        if !(1..=8).contains(&attribute) || value.is_null() {
            let message = format!("attribute {attribute} of a pool, or no value");
            return Err(Failure::new(Status::INVALID_VALUE, message));
        }
        Ok(())
    }

    /// Gives back what a pool keeps, which is nothing.
    fn cuMemPoolTrimTo(pool: *mut c_void, _keep: usize) {
        Emulator::get()?.pools.get(pool).map(|_| ())
    }

    /// Allocates from a pool in a stream's order.
    fn cuMemAllocFromPoolAsync(
        address: *mut u64,
        bytes: usize,
        pool: *mut c_void,
        stream: *mut c_void,
    ) {
        let emulator = Emulator::get()?;
        let pool = emulator.pools.get(pool)?;
        let stream = emulator.stream(stream)?;
        let _order = lock(&stream.order);
        allocate(&emulator.devices[pool.device], address, bytes)
    }
}
