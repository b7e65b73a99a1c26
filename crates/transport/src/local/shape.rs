//! What members compare of a call.

use crate::call::{Call, Operation};
use crate::descriptor::Detail;
use crate::reshard::Reshard;

/// What members compare of a call; see [`Descriptor::new`].
pub(super) struct Shape {
    pub(super) extents: Vec<usize>,
    pub(super) sizes: Vec<usize>,
    pub(super) elements: usize,
    pub(super) detail: Detail,
}

impl Shape {
    pub(super) fn of(call: &Call) -> Shape {
        let extents = call.shape.clone();
        let sum = |sizes: &Vec<usize>| sizes.iter().sum();
        let (sizes, elements, detail) = match &call.operation {
            Operation::AllGather { counts } | Operation::ReduceScatter { counts } => {
                (counts.clone(), sum(counts), Detail::None)
            }
            Operation::Broadcast { root, count } => (Vec::new(), *count, Detail::Root(*root)),
            Operation::AllReduce { count } => (Vec::new(), *count, Detail::None),
            Operation::Reshard(reshard) => {
                let Reshard { tensors, shape, gather, split } = reshard;
                let sizes = [gather.sizes.as_slice(), &split.sizes].concat();
                let elements = tensors * shape.iter().product::<usize>();
                let (tensors, gather, split) = (*tensors, gather.dim, split.dim);
                let detail = Detail::Reshard { tensors, gather, split };
                return Shape { extents: shape.clone(), sizes, elements, detail };
            }
            _ => (Vec::new(), 0, Detail::None),
        };
        Shape { extents, sizes, elements, detail }
    }
}
