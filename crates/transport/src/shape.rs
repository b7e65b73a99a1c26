//! What members compare of a call, whatever the transport.

use crate::call::{Call, Operation};
use crate::descriptor::{Descriptor, Detail, OperationKind};
use crate::reshard::Reshard;
use cpu_kernels::DType;

/// What members compare of a call; see [`Descriptor::new`].
pub(crate) struct Shape {
    extents: Vec<usize>,
    sizes: Vec<usize>,
    elements: usize,
    detail: Detail,
}

impl Shape {
    /// What members compare of `call`, exchanges apart, where there are two of them.
    pub(crate) fn of(call: &Call) -> Shape {
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

    /// The members of new groups, as places in the one that is split.
    pub(crate) fn of_parts(parts: &[Vec<usize>]) -> Shape {
        let places: Vec<usize> = parts.iter().flatten().copied().collect();
        let elements = places.len();
        let extents = parts.iter().map(Vec::len).collect();
        Shape { extents, sizes: places, elements, detail: Detail::None }
    }

    /// The descriptor of a collective of this shape.
    pub(crate) fn descriptor(
        &self,
        sequence: u64,
        kind: OperationKind,
        dtype: DType,
    ) -> Descriptor {
        let Shape { extents, sizes, elements, detail } = self;
        Descriptor::new(sequence, kind, dtype, *detail, extents, sizes, *elements)
    }
}
