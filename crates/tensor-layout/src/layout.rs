//! Shape, strides and offset of a view.

/// How the elements of a view lie in its storage. Strides and offset count elements; a stride of 0
/// repeats one element along a dimension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Elements along each dimension.
    pub shape: Vec<usize>,
    /// Elements to skip for a step along each dimension.
    pub strides: Vec<usize>,
    /// The first element's place in the storage.
    pub offset: usize,
}

impl Layout {
    /// The row-major layout of a shape, from the start of the storage.
    pub fn contiguous(shape: &[usize]) -> Layout {
        let mut strides = vec![1; shape.len()];
        for dim in (1..shape.len()).rev() {
            strides[dim - 1] = strides[dim] * shape[dim].max(1);
        }
        Layout { shape: shape.to_vec(), strides, offset: 0 }
    }

    /// The number of dimensions.
    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    /// The number of elements.
    pub fn count(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether the elements lie one after the other in row-major order.
    pub fn is_contiguous(&self) -> bool {
        let mut expected = 1;
        if self.count() == 0 {
            return true;
        }
        for dim in (0..self.rank()).rev() {
            if self.shape[dim] != 1 && self.strides[dim] != expected {
                return false;
            }
            expected *= self.shape[dim];
        }
        true
    }

    /// One past the last storage element that the view touches; 0 for an empty view.
    pub fn end(&self) -> usize {
        if self.count() == 0 {
            return 0;
        }
        let span: usize = self.shape.iter().zip(&self.strides).map(|(n, s)| (n - 1) * s).sum();
        self.offset + span + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_major_strides() {
        let layout = Layout::contiguous(&[2, 3, 4]);
        assert_eq!(layout.strides, [12, 4, 1]);
        assert!(layout.is_contiguous());
        assert_eq!((layout.count(), layout.end()), (24, 24));
    }

    #[test]
    fn a_dimension_of_one_may_have_any_stride() {
        let layout = Layout { shape: vec![1, 4], strides: vec![99, 1], offset: 3 };
        assert!(layout.is_contiguous());
        assert_eq!(layout.end(), 7);
    }

    #[test]
    fn empty_and_repeated_views() {
        assert_eq!(Layout::contiguous(&[3, 0, 2]).end(), 0);
        assert!(Layout::contiguous(&[3, 0, 2]).is_contiguous());
        let repeated = Layout { shape: vec![5, 2], strides: vec![0, 1], offset: 0 };
        assert!(!repeated.is_contiguous());
        assert_eq!(repeated.end(), 2);
    }
}
