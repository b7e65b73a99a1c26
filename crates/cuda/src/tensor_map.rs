//! Tensors as copies of boxes know them: the tensor memory accelerator of compute capability 9.0.

use crate::device::Device;
use crate::driver::call;
use crate::error::{CudaError, CudaErrorCode};
use crate::sys;
use std::ffi::{c_int, c_uint, c_void};
use std::fmt;

/// Dimensions of the tensors that are described here.
const DIMENSIONS: usize = 4;

/// What tensors that are copied so consist of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TensorElement {
    /// bfloat16.
    BFloat16,
    /// IEEE float16.
    Float16,
}

impl TensorElement {
    /// Bytes of one.
    const BYTES: u64 = 2;

    fn code(self) -> c_int {
        match self {
            TensorElement::BFloat16 => sys::CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
            TensorElement::Float16 => sys::CU_TENSOR_MAP_DATA_TYPE_FLOAT16,
        }
    }
}

/// Boxes of a tensor of four dimensions, the innermost first, as they are copied to shared memory: rows of
/// 128 bytes, whose pieces of 16 bytes are swizzled; numbers beyond the tensor's ends are zeros there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Boxes {
    /// Element type.
    pub element: TensorElement,
    /// The first element's address: a multiple of 16.
    pub address: u64,
    /// Elements along each dimension; none is 0.
    pub sizes: [usize; DIMENSIONS],
    /// Elements to skip along each dimension but the innermost, whose elements follow each other:
    /// multiples of 8.
    pub strides: [usize; DIMENSIONS - 1],
    /// Elements of a box along each dimension: 64 along the innermost, at most 256 along any.
    pub box_sizes: [u32; DIMENSIONS],
}

/// A description of a tensor for the device, an argument of kernels. It holds an address and no memory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TensorMap(sys::TensorMap);

impl TensorMap {
    pub(crate) fn pointer(&self) -> *mut c_void {
        std::ptr::from_ref(&self.0).cast_mut().cast()
    }
}

impl fmt::Debug for TensorMap {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("TensorMap")
    }
}

impl Device {
    /// Describes a tensor for copies of boxes of it.
    ///
    /// # Errors
    ///
    /// `Unsupported` for a driver older than CUDA 12; what the driver says where it can't describe that
    /// tensor.
    pub fn tensor_map(&self, boxes: &Boxes) -> Result<TensorMap, CudaError> {
        let Some(table) = self.driver().tensor_maps else {
            let message = "the driver is older than CUDA 12".to_owned();
            let function = "cuTensorMapEncodeTiled";
            return Err(CudaError::refused(CudaErrorCode::Unsupported, function, message));
        };
        let Boxes { element, address, sizes, strides, box_sizes } = boxes;
        let sizes = sizes.map(|size| size as u64);
        let strides = strides.map(|stride| stride as u64 * TensorElement::BYTES);
        self.make_current()?;
        let mut map = sys::TensorMap([0; 128]);
        // SAFETY: writes the map, which is aligned as it must be; the lists have a number for each
        // dimension, that of strides one fewer.
        unsafe {
            call!(
                self.driver(),
                table,
                cuTensorMapEncodeTiled(
                    &mut map,
                    element.code(),
                    DIMENSIONS as c_uint,
                    *address as *mut c_void,
                    sizes.as_ptr(),
                    strides.as_ptr(),
                    box_sizes.as_ptr(),
                    [1; DIMENSIONS].as_ptr(),
                    sys::CU_TENSOR_MAP_INTERLEAVE_NONE,
                    sys::CU_TENSOR_MAP_SWIZZLE_128B,
                    sys::CU_TENSOR_MAP_L2_PROMOTION_256B,
                    sys::CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE,
                )
            )
        }
        .map_err(|error| error.while_doing(format!("describing {boxes:?}")))?;
        Ok(TensorMap(map))
    }
}
