//! Tensors as the pipelined attention kernel copies them.

use crate::attention::strides;
use crate::{DType, DeviceView};
use cuda::{Boxes, TensorElement};

/// Channels that a copy takes at once: a row of 128 bytes in shared memory.
const CHANNELS: usize = 64;

/// Bytes that strides of tensors which are copied so stay below.
const MOST_STRIDE: usize = 1 << 40;

/// Whether copies of boxes can take a (B, S, H, D) tensor in whole vectors: rows, heads and batches are
/// farther apart than their channels are long, and there is something to copy.
pub(crate) fn can_be_copied(tensor: &DeviceView) -> bool {
    let size = tensor.shape()[3];
    let far = |stride: usize| stride >= size && stride < MOST_STRIDE / tensor.dtype.size();
    tensor.count() > 0 && strides(tensor).into_iter().all(far)
}

/// Boxes of 64 channels of one head, so many rows long. Heads come before rows, as they lie in memory.
pub(crate) fn boxes(tensor: &DeviceView, rows: u32) -> Boxes {
    let &[batch, length, heads, size] = tensor.shape() else {
        panic!("attention: a tensor of shape {:?}, expected (B, S, H, D)", tensor.shape());
    };
    let [by_batch, by_row, by_head] = strides(tensor);
    Boxes {
        element: match tensor.dtype {
            DType::BFloat16 => TensorElement::BFloat16,
            DType::Float16 => TensorElement::Float16,
            other => panic!("attention: boxes of {}", other.name()),
        },
        address: tensor.pointer(),
        sizes: [size, heads, length, batch],
        strides: [by_head, by_row, by_batch],
        box_sizes: [CHANNELS as u32, 1, rows, 1],
    }
}
