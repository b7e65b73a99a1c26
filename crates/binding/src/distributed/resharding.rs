//! Arguments of a resharding.

use crate::error;
use napi::Result;
use tensor_runtime::{DType, Tensor};
use transport::reshard::{MAX_TENSORS, Reshard, Share};

/// The resharding of `inputs`, with their dtype and the extents of a tensor that is not shared
/// out, as member `index` of `size` asks for it.
pub(super) fn resharding(
    (index, size): (usize, usize),
    inputs: &[Tensor],
    gather: Share,
    split: Share,
) -> Result<(DType, Vec<usize>, Reshard)> {
    const NAME: &str = "reshard";
    let describe = |input: &Tensor| format!("{} {:?}", input.dtype().name(), input.shape());
    let Some(first) = inputs.first().filter(|_| inputs.len() <= MAX_TENSORS) else {
        let expected = format!("from 1 to {MAX_TENSORS} tensors");
        return Err(error::argument(NAME, "inputs", expected, inputs.len()));
    };
    let alike = |input: &&Tensor| input.dtype() != first.dtype() || input.shape() != first.shape();
    if let Some(other) = inputs.iter().find(alike) {
        let expected = format!("all alike, {}", describe(first));
        return Err(error::argument(NAME, "inputs", expected, describe(other)));
    }
    let shape = first.shape();
    for (name, share) in [("gather", &gather), ("split", &split)] {
        if share.dim >= shape.len() || share.sizes.len() != size {
            let expected = format!("a dimension of {shape:?} and {size} sizes");
            let found = format!("dimension {} and {:?}", share.dim, share.sizes);
            return Err(error::argument(NAME, name, expected, found));
        }
    }
    let whole =
        |share: &Share| share.sizes.iter().try_fold(0usize, |sum, size| sum.checked_add(*size));
    if gather.dim == split.dim {
        let expected = format!("another dimension than gather's, {}", gather.dim);
        return Err(error::argument(NAME, "split", expected, split.dim));
    }
    if gather.sizes[index] != shape[gather.dim] {
        let expected = format!("{} for member {index}, as {shape:?}", shape[gather.dim]);
        return Err(error::argument(NAME, "gather", expected, format!("{:?}", gather.sizes)));
    }
    if whole(&split) != Some(shape[split.dim]) {
        let expected = format!("sizes that add up to {} of {shape:?}", shape[split.dim]);
        return Err(error::argument(NAME, "split", expected, format!("{:?}", split.sizes)));
    }
    let Some(gathered) = whole(&gather) else {
        let found = format!("{:?}", gather.sizes);
        return Err(error::argument(NAME, "gather", "sizes that can be added up", found));
    };
    let mut shape = shape.to_vec();
    shape[gather.dim] = gathered;
    let tensors = inputs.len();
    Ok((first.dtype(), shape.clone(), Reshard { tensors, shape, gather, split }))
}
