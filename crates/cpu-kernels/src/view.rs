//! Views that kernels read and write.
//!
//! A view is a raw pointer with a [`Layout`] and a [`DType`]. Whoever makes one promises that the
//! memory behind it lives for `'a`, holds the layout's elements, and (for [`TensorMut`]) is touched
//! by nobody else; kernels rely on that and on nothing more.

use crate::{DType, Layout};
use std::marker::PhantomData;

/// A view to read.
#[derive(Clone)]
pub struct TensorRef<'a> {
    data: *const u8,
    /// Element type.
    pub dtype: DType,
    /// Shape and strides; the offset is already in the pointer and 0 here.
    pub layout: Layout,
    lifetime: PhantomData<&'a [u8]>,
}

/// A view to fill. Outputs are always contiguous.
pub struct TensorMut<'a> {
    data: *mut u8,
    /// Element type.
    pub dtype: DType,
    /// Shape and row-major strides.
    pub layout: Layout,
    lifetime: PhantomData<&'a mut [u8]>,
}

// SAFETY: a view is a borrowed slice with a layout; the maker's promise (see the module's text)
// makes sharing it between threads as safe as sharing the slice.
unsafe impl Send for TensorRef<'_> {}
// SAFETY: as above; a `TensorRef` only reads.
unsafe impl Sync for TensorRef<'_> {}
// SAFETY: as above; kernels hand disjoint parts of a `TensorMut` to their threads.
unsafe impl Send for TensorMut<'_> {}
// SAFETY: as above.
unsafe impl Sync for TensorMut<'_> {}

impl<'a> TensorRef<'a> {
    /// A view of storage that starts at `base`.
    ///
    /// # Safety
    /// `base` is aligned for `dtype`, and `layout.end()` elements from it are initialised and not
    /// written for `'a`.
    pub unsafe fn new(base: *const u8, dtype: DType, mut layout: Layout) -> TensorRef<'a> {
        let offset = std::mem::take(&mut layout.offset) * dtype.size();
        // SAFETY: the caller's promise: the offset lies within the storage.
        let data = unsafe { base.add(offset) };
        TensorRef { data, dtype, layout, lifetime: PhantomData }
    }

    /// A contiguous view of a slice, for tests and benchmarks.
    pub fn from_slice<T: Element>(values: &'a [T], shape: &[usize]) -> TensorRef<'a> {
        let layout = Layout::contiguous(shape);
        assert_eq!(layout.count(), values.len());
        // SAFETY: the slice is aligned, initialised and borrowed for `'a`.
        unsafe { TensorRef::new(values.as_ptr().cast(), T::DTYPE, layout) }
    }

    /// The first element.
    pub fn as_ptr<T>(&self) -> *const T {
        debug_assert_eq!(size_of::<T>(), self.dtype.size());
        self.data.cast()
    }

    /// The elements of a contiguous view.
    ///
    /// # Panics
    /// Where the view isn't contiguous or `T` isn't of its type.
    pub fn as_slice<T: Element>(&self) -> &'a [T] {
        assert!(self.layout.is_contiguous() && self.dtype.size() == size_of::<T>());
        // SAFETY: `new` promised that these elements are initialised and unwritten for `'a`.
        unsafe { std::slice::from_raw_parts(self.data.cast(), self.layout.count()) }
    }

    /// Elements along each dimension.
    pub fn shape(&self) -> &[usize] {
        &self.layout.shape
    }

    /// Elements to skip along each dimension.
    pub fn strides(&self) -> &[usize] {
        &self.layout.strides
    }
}

impl<'a> TensorMut<'a> {
    /// A contiguous view of storage that starts at `data`.
    ///
    /// # Safety
    /// `data` is aligned for `dtype`, and the shape's elements from it are touched by nobody else
    /// for `'a`. They may be uninitialised: a kernel writes all of them.
    pub unsafe fn new(data: *mut u8, dtype: DType, shape: &[usize]) -> TensorMut<'a> {
        TensorMut { data, dtype, layout: Layout::contiguous(shape), lifetime: PhantomData }
    }

    /// A view of a slice, for tests and benchmarks.
    pub fn from_slice<T: Element>(values: &'a mut [T], shape: &[usize]) -> TensorMut<'a> {
        assert_eq!(shape.iter().product::<usize>(), values.len());
        // SAFETY: the slice is aligned and mutably borrowed for `'a`.
        unsafe { TensorMut::new(values.as_mut_ptr().cast(), T::DTYPE, shape) }
    }

    /// The first element.
    pub fn as_mut_ptr<T>(&self) -> *mut T {
        debug_assert_eq!(size_of::<T>(), self.dtype.size());
        self.data.cast()
    }

    /// Elements along each dimension.
    pub fn shape(&self) -> &[usize] {
        &self.layout.shape
    }
}

/// Types that stand for a [`DType`] in memory. The two 16-bit floats share `u16`; `from_slice`
/// takes it for bfloat16, the one that kernels compute with.
pub trait Element: Copy {
    /// The element type this Rust type holds.
    const DTYPE: DType;
}

impl Element for f32 {
    const DTYPE: DType = DType::Float32;
}
impl Element for u16 {
    const DTYPE: DType = DType::BFloat16;
}
impl Element for i32 {
    const DTYPE: DType = DType::Int32;
}
impl Element for i64 {
    const DTYPE: DType = DType::Int64;
}
impl Element for i8 {
    const DTYPE: DType = DType::Int8;
}
impl Element for u8 {
    const DTYPE: DType = DType::UInt8;
}
