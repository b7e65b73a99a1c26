//! Views of device memory.

use crate::{DType, Layout};

/// A view of device memory that a kernel reads or, where it is contiguous, fills.
///
/// Whoever makes one promises that the memory is the device's, holds the layout's elements until
/// the work queued with the view has run, and that what fills it runs in order with what reads it.
#[derive(Clone, Debug)]
pub struct DeviceView {
    /// Where the storage begins, on the device.
    pub address: u64,
    /// Element type.
    pub dtype: DType,
    /// Shape, strides, and the first element's place in the storage.
    pub layout: Layout,
}

impl DeviceView {
    /// The first element's address.
    pub fn pointer(&self) -> u64 {
        self.address + (self.layout.offset * self.dtype.size()) as u64
    }

    /// Elements along each dimension.
    pub fn shape(&self) -> &[usize] {
        &self.layout.shape
    }

    /// Elements to skip along each dimension.
    pub fn strides(&self) -> &[usize] {
        &self.layout.strides
    }

    /// The number of elements.
    pub fn count(&self) -> usize {
        self.layout.count()
    }

    /// Bytes from the first element to past the last of a contiguous view.
    pub fn bytes(&self) -> usize {
        self.count() * self.dtype.size()
    }

    /// Whether its first element lies at a multiple of 16 bytes, as vectors of elements do.
    pub(crate) fn is_aligned(&self) -> bool {
        self.pointer().is_multiple_of(16)
    }
}
