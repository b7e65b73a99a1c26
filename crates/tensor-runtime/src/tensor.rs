//! A typed, strided view of a storage.

use crate::device::Device;
use crate::error::{ErrorCode, RuntimeError};
use crate::storage::Storage;
use cpu_kernels::{DType, Layout};
use std::sync::Arc;

/// A typed, strided view of a [`Storage`]. Cloning shares the storage.
#[derive(Clone)]
pub struct Tensor {
    pub(crate) storage: Arc<Storage>,
    pub(crate) dtype: DType,
    pub(crate) layout: Layout,
}

impl Tensor {
    /// A view of the whole of `storage`, row-major.
    pub fn new(storage: Storage, dtype: DType, shape: &[usize]) -> Result<Tensor, RuntimeError> {
        let bytes = element_count("tensor", shape)?.checked_mul(dtype.size());
        if bytes != Some(storage.bytes()) {
            return Err(RuntimeError::shape(
                "tensor",
                "shape",
                format!("one that {} bytes of {} fill", storage.bytes(), dtype.name()),
                shape,
            ));
        }
        Ok(Tensor { storage: Arc::new(storage), dtype, layout: Layout::contiguous(shape) })
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Elements along each dimension.
    pub fn shape(&self) -> &[usize] {
        &self.layout.shape
    }

    /// Elements to skip along each dimension.
    pub fn strides(&self) -> &[usize] {
        &self.layout.strides
    }

    /// Shape, strides and offset.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Whether the elements lie one after the other in row-major order.
    pub fn is_contiguous(&self) -> bool {
        self.layout.is_contiguous()
    }

    /// Where the tensor lives and is computed.
    pub fn device(&self) -> Device {
        self.storage.device()
    }

    /// Whether the elements lie in another owner's memory, such as a mapped file.
    pub fn is_borrowed(&self) -> bool {
        self.storage.is_borrowed()
    }

    fn view(&self, shape: Vec<usize>, strides: Vec<usize>, offset: usize) -> Tensor {
        Tensor {
            storage: self.storage.clone(),
            dtype: self.dtype,
            layout: Layout { shape, strides, offset },
        }
    }

    /// A view of shape `shape` of the storage whose elements `pieces` are, all of them and in their
    /// order, cut along dimension `dim`; `None` where they aren't.
    pub(crate) fn whole_of(pieces: &[Tensor], shape: &[usize], dim: usize) -> Option<Tensor> {
        let first = pieces.first()?;
        if shape[..dim].iter().any(|extent| *extent != 1) {
            return None;
        }
        let mut end = 0;
        for piece in pieces {
            let follows = Arc::ptr_eq(&piece.storage, &first.storage) && piece.is_contiguous();
            if !follows || (piece.layout.offset != end && piece.layout.count() > 0) {
                return None;
            }
            end += piece.layout.count();
        }
        let is_whole = end * first.dtype.size() == first.storage.bytes();
        is_whole.then(|| first.view(shape.to_vec(), Layout::contiguous(shape).strides, 0))
    }

    /// The same elements in another shape, where strides allow it without a copy; `None` where they
    /// don't.
    pub fn reshaped(&self, shape: &[usize]) -> Result<Option<Tensor>, RuntimeError> {
        if element_count("reshape", shape)? != self.layout.count() {
            return Err(RuntimeError::shape(
                "reshape",
                "shape",
                format!("of {} elements, as {:?} is", self.layout.count(), self.shape()),
                shape,
            ));
        }
        if self.layout.count() == 0 {
            let strides = Layout::contiguous(shape).strides;
            return Ok(Some(self.view(shape.to_vec(), strides, self.layout.offset)));
        }
        Ok(reshaped_strides(&self.layout, shape)
            .map(|strides| self.view(shape.to_vec(), strides, self.layout.offset)))
    }

    /// Dimensions in another order: `dims[i]` becomes dimension `i`.
    pub fn permuted(&self, dims: &[usize]) -> Result<Tensor, RuntimeError> {
        let mut seen = vec![false; self.layout.rank()];
        let valid = dims.len() == seen.len()
            && dims.iter().all(|&dim| dim < seen.len() && !std::mem::replace(&mut seen[dim], true));
        if !valid {
            return Err(RuntimeError::argument(
                "permute",
                "dims",
                format!("an order of the {} dimensions of {:?}", seen.len(), self.shape()),
                format!("{dims:?}"),
            ));
        }
        let shape = dims.iter().map(|&dim| self.layout.shape[dim]).collect();
        let strides = dims.iter().map(|&dim| self.layout.strides[dim]).collect();
        Ok(self.view(shape, strides, self.layout.offset))
    }

    /// Elements `start..end` along `dim`.
    pub fn sliced(&self, dim: usize, start: usize, end: usize) -> Result<Tensor, RuntimeError> {
        let length = self.dimension("slice", dim)?;
        if start > end || end > length {
            return Err(RuntimeError::argument(
                "slice",
                "range",
                format!("within 0..{length} along dimension {dim} of {:?}", self.shape()),
                format!("{start}..{end}"),
            ));
        }
        let mut shape = self.layout.shape.clone();
        shape[dim] = end - start;
        let offset = self.layout.offset + start * self.layout.strides[dim];
        Ok(self.view(shape, self.layout.strides.clone(), offset))
    }

    /// Repeats dimensions of size 1 without a copy; new dimensions come in front.
    pub fn expanded(&self, shape: &[usize]) -> Result<Tensor, RuntimeError> {
        let strides = broadcast_strides(&self.layout, shape).ok_or_else(|| {
            RuntimeError::shape(
                "expand",
                "shape",
                format!("one that {:?} can be repeated to", self.shape()),
                shape,
            )
        })?;
        Ok(self.view(shape.to_vec(), strides, self.layout.offset))
    }

    fn dimension(&self, operation: &'static str, dim: usize) -> Result<usize, RuntimeError> {
        self.layout.shape.get(dim).copied().ok_or_else(|| {
            RuntimeError::argument(
                operation,
                "dim",
                format!("below {}, the dimensions of {:?}", self.layout.rank(), self.shape()),
                dim,
            )
        })
    }
}

/// The product of a shape, refused where it overflows.
pub(crate) fn element_count(
    operation: &'static str,
    shape: &[usize],
) -> Result<usize, RuntimeError> {
    shape
        .iter()
        .try_fold(1usize, |product, &n| product.checked_mul(n))
        .filter(|&count| count <= isize::MAX as usize / 8)
        .ok_or_else(|| {
            RuntimeError::new(
                ErrorCode::Shape,
                operation,
                "shape",
                "of fewer than 2^60 elements",
                format!("{shape:?}"),
            )
        })
}

/// Strides that repeat `layout` to `shape`, by the usual rules of broadcasting.
pub(crate) fn broadcast_strides(layout: &Layout, shape: &[usize]) -> Option<Vec<usize>> {
    let added = shape.len().checked_sub(layout.rank())?;
    let mut strides = vec![0; shape.len()];
    for dim in added..shape.len() {
        let (from, to) = (layout.shape[dim - added], shape[dim]);
        if from == to {
            strides[dim] = layout.strides[dim - added];
        } else if from != 1 {
            return None;
        }
    }
    Some(strides)
}

/// The shape that both broadcast to.
pub(crate) fn broadcast_shape(left: &[usize], right: &[usize]) -> Option<Vec<usize>> {
    let rank = left.len().max(right.len());
    (0..rank)
        .map(|dim| {
            let at =
                |shape: &[usize]| (dim + shape.len()).checked_sub(rank).map_or(1, |dim| shape[dim]);
            match (at(left), at(right)) {
                (a, b) if a == b => Some(a),
                (1, b) => Some(b),
                (a, 1) => Some(a),
                _ => None,
            }
        })
        .collect()
}

/// Strides for `shape` over the same elements, or `None` where that takes a copy. Both shapes are
/// cut into the shortest runs of dimensions with equal products; a run must be evenly strided.
fn reshaped_strides(layout: &Layout, shape: &[usize]) -> Option<Vec<usize>> {
    let old: Vec<(usize, usize)> = layout
        .shape
        .iter()
        .copied()
        .zip(layout.strides.iter().copied())
        .filter(|&(n, _)| n != 1)
        .collect();
    let mut strides = vec![1; shape.len()];
    let (mut first_old, mut first_new) = (0, 0);
    while first_old < old.len() && first_new < shape.len() {
        let (mut last_old, mut last_new) = (first_old + 1, first_new + 1);
        let (mut old_product, mut new_product) = (old[first_old].0, shape[first_new]);
        while old_product != new_product {
            if new_product < old_product {
                new_product *= shape[last_new];
                last_new += 1;
            } else {
                old_product *= old[last_old].0;
                last_old += 1;
            }
        }
        for dim in first_old..last_old - 1 {
            if old[dim].1 != old[dim + 1].0 * old[dim + 1].1 {
                return None;
            }
        }
        let mut stride = old[last_old - 1].1;
        for dim in (first_new..last_new).rev() {
            strides[dim] = stride;
            stride *= shape[dim];
        }
        (first_old, first_new) = (last_old, last_new);
    }
    Some(strides)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(shape: &[usize]) -> Tensor {
        let count: usize = shape.iter().product();
        let storage = Storage::copied(&vec![0; count * 4]).unwrap();
        Tensor::new(storage, DType::Float32, shape).unwrap()
    }

    #[test]
    fn views_share_the_storage_and_move_strides() {
        let whole = tensor(&[2, 3, 4]);
        let turned = whole.permuted(&[2, 0, 1]).unwrap();
        assert_eq!((turned.shape(), turned.strides()), (&[4, 2, 3][..], &[1, 12, 4][..]));
        let part = whole.sliced(1, 1, 3).unwrap();
        assert_eq!((part.shape(), part.layout().offset), (&[2, 2, 4][..], 4));
        assert!(Arc::ptr_eq(&whole.storage, &part.storage));
        let repeated = tensor(&[3, 1]).expanded(&[5, 3, 2]).unwrap();
        assert_eq!(repeated.strides(), &[0, 1, 0]);
    }

    #[test]
    fn reshapes_without_a_copy_where_strides_allow_it() {
        let whole = tensor(&[2, 3, 4]);
        let merged = whole.reshaped(&[6, 2, 1, 2]).unwrap().unwrap();
        assert_eq!(merged.strides(), &[4, 2, 2, 1]);
        let turned = whole.permuted(&[1, 0, 2]).unwrap();
        assert!(turned.reshaped(&[6, 4]).unwrap().is_none());
        let split = turned.reshaped(&[3, 2, 2, 2]).unwrap().unwrap();
        assert_eq!(split.strides(), &[4, 12, 2, 1]);
        assert_eq!(whole.reshaped(&[5]).err().unwrap().code, ErrorCode::Shape);
        assert_eq!(tensor(&[]).reshaped(&[1, 1]).unwrap().unwrap().shape(), &[1, 1]);
        assert_eq!(tensor(&[3, 0]).reshaped(&[0, 7]).unwrap().unwrap().shape(), &[0, 7]);
    }

    #[test]
    fn refuses_what_lies_outside() {
        let whole = tensor(&[2, 3]);
        assert_eq!(whole.sliced(1, 2, 4).err().unwrap().code, ErrorCode::Argument);
        assert_eq!(whole.sliced(2, 0, 1).err().unwrap().code, ErrorCode::Argument);
        assert_eq!(whole.permuted(&[0, 0]).err().unwrap().code, ErrorCode::Argument);
        assert_eq!(whole.expanded(&[2, 4]).err().unwrap().code, ErrorCode::Shape);
        let huge = [usize::MAX, 2];
        let storage = Storage::copied(&[]).unwrap();
        assert_eq!(Tensor::new(storage, DType::UInt8, &huge).err().unwrap().code, ErrorCode::Shape);
    }

    #[test]
    fn broadcasting_rules() {
        assert_eq!(broadcast_shape(&[3, 1], &[2, 1, 5]), Some(vec![2, 3, 5]));
        assert_eq!(broadcast_shape(&[3], &[2]), None);
        assert_eq!(broadcast_shape(&[], &[4]), Some(vec![4]));
    }
}
