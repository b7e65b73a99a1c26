//! The memory that ranks share, as memory for operations' outputs.

use std::sync::Arc;
use tensor_runtime::{OutputBlock, OutputMemory};
use transport::{ErrorCode, ProcessGroup, SharedAllocation};

/// This rank's part of the shared memory.
pub struct SharedMemory(Arc<dyn ProcessGroup>);

impl SharedMemory {
    /// The memory that `group` gives out.
    pub fn new(group: Arc<dyn ProcessGroup>) -> Self {
        SharedMemory(group)
    }
}

// SAFETY: a shared allocation has as many bytes as were asked for, aligned to 64, and others only
// read it; see `SharedBlock`.
unsafe impl OutputMemory for SharedMemory {
    fn allocate(&self, bytes: usize) -> Result<Box<dyn OutputBlock>, String> {
        match self.0.allocate(bytes) {
            Ok(allocation) => Ok(Box::new(SharedBlock(allocation))),
            Err(error) if error.code == ErrorCode::OutOfSharedMemory => {
                Err(format!("{} in the ranks' shared memory: {}", error.found, error.expected))
            }
            Err(error) => Err(error.to_string()),
        }
    }
}

struct SharedBlock(Arc<dyn SharedAllocation>);

// SAFETY: the allocation is this block's alone and lives as long as it.
unsafe impl OutputBlock for SharedBlock {
    fn address(&self) -> *mut u8 {
        self.0.address()
    }
}
