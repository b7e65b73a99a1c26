//! The library's descriptors: made, filled, finalized, destroyed.

use super::library::{CudnnLibrary, call};
use super::sys::{
    Attribute, AttributeName, CUDNN_BACKEND_TENSOR_DESCRIPTOR, DescriptorHandle, DescriptorKind,
};
use super::sys::{
    CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_ATTR_TENSOR_DIMENSIONS,
    CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_ATTR_TENSOR_UNIQUE_ID,
    DataType,
};
use crate::error::CudaError;
use std::sync::Arc;

/// What one of the library's descriptors describes, once it is finalized.
pub(super) struct Descriptor {
    handle: DescriptorHandle,
    library: Arc<CudnnLibrary>,
}

// SAFETY: a descriptor belongs to no thread. Whoever holds one lets one thread at a time use it.
unsafe impl Send for Descriptor {}

impl Descriptor {
    /// An empty one.
    pub fn new(library: &Arc<CudnnLibrary>, kind: DescriptorKind) -> Result<Self, CudaError> {
        let mut handle = DescriptorHandle(std::ptr::null_mut());
        // SAFETY: writes one handle.
        unsafe { call!(library, cudnnBackendCreateDescriptor(kind, &mut handle)) }?;
        Ok(Descriptor { handle, library: library.clone() })
    }

    /// A tensor of four dimensions, known by `id` in graphs and when they are run.
    pub fn tensor(
        library: &Arc<CudnnLibrary>,
        id: i64,
        data_type: DataType,
        shape: [usize; 4],
        strides: [usize; 4],
        place: Place,
    ) -> Result<Self, CudaError> {
        let tensor = Descriptor::new(library, CUDNN_BACKEND_TENSOR_DESCRIPTOR)?;
        tensor.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, &[id])?;
        tensor.set(CUDNN_ATTR_TENSOR_DATA_TYPE, &[data_type])?;
        tensor.set(CUDNN_ATTR_TENSOR_DIMENSIONS, &shape.map(|size| size as i64))?;
        tensor.set(CUDNN_ATTR_TENSOR_STRIDES, &strides.map(|stride| stride as i64))?;
        match place {
            Place::Device { alignment } => {
                tensor.set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, &[alignment as i64])?;
            }
            Place::Host => {
                tensor.set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, &[size_of::<f32>() as i64])?;
                tensor.set(CUDNN_ATTR_TENSOR_IS_BY_VALUE, &[true])?;
            }
        }
        tensor.finalized()
    }

    /// Sets an attribute.
    pub fn set<T: Attribute>(&self, name: AttributeName, values: &[T]) -> Result<(), CudaError> {
        let (count, elements) = (values.len() as i64, values.as_ptr().cast());
        // SAFETY: a live descriptor; reads as many elements of that type.
        unsafe {
            call!(
                self.library,
                cudnnBackendSetAttribute(self.handle, name, T::TYPE, count, elements)
            )
        }
    }

    /// Sets an attribute that is another descriptor, or several.
    pub fn set_descriptors(
        &self,
        name: AttributeName,
        descriptors: &[&Descriptor],
    ) -> Result<(), CudaError> {
        let handles: Vec<_> = descriptors.iter().map(|descriptor| descriptor.handle).collect();
        self.set(name, &handles)
    }

    /// Has the library check what was set; from here on it stays.
    pub fn finalized(self) -> Result<Self, CudaError> {
        // SAFETY: a live descriptor.
        unsafe { call!(self.library, cudnnBackendFinalize(self.handle)) }?;
        Ok(self)
    }

    /// An attribute that is one number.
    pub fn number(&self, name: AttributeName) -> Result<i64, CudaError> {
        let (mut number, mut count) = (0i64, 0);
        let place = std::ptr::from_mut(&mut number).cast();
        // SAFETY: a live descriptor; writes one number and one count.
        unsafe {
            call!(
                self.library,
                cudnnBackendGetAttribute(self.handle, name, i64::TYPE, 1, &mut count, place)
            )
        }?;
        Ok(number)
    }

    /// An attribute that is a list of descriptors of one kind, of which the first `most` are wanted.
    pub fn descriptors(
        &self,
        name: AttributeName,
        kind: DescriptorKind,
        most: usize,
    ) -> Result<Vec<Descriptor>, CudaError> {
        let mut found: Vec<_> = (0..most)
            .map(|_| Descriptor::new(&self.library, kind))
            .collect::<Result<_, CudaError>>()?;
        let mut handles: Vec<_> = found.iter().map(|descriptor| descriptor.handle).collect();
        let (requested, mut count) = (most as i64, 0);
        let place = handles.as_mut_ptr().cast();
        // SAFETY: a live descriptor; fills at most as many others, and writes one count.
        unsafe {
            call!(
                self.library,
                cudnnBackendGetAttribute(
                    self.handle,
                    name,
                    DescriptorHandle::TYPE,
                    requested,
                    &mut count,
                    place,
                )
            )
        }?;
        found.truncate(usize::try_from(count).unwrap_or(0));
        Ok(found)
    }

    pub fn handle(&self) -> DescriptorHandle {
        self.handle
    }

    pub fn library(&self) -> &Arc<CudnnLibrary> {
        &self.library
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // Nobody is left to be told of a failure.
        // SAFETY: created in `new`, destroyed once.
        let _ = unsafe { call!(self.library, cudnnBackendDestroyDescriptor(self.handle)) };
    }
}

/// Where a tensor's elements are when a graph is run.
#[derive(Clone, Copy)]
pub(super) enum Place {
    /// On the device, at an address that is a multiple of so many bytes.
    Device { alignment: usize },
    /// In this process: one number, read when the graph is queued.
    Host,
}
