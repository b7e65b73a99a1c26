//! Maps of tensors, by which kernels copy boxes of them.

use std::ffi::{c_int, c_uint, c_void};

use crate::execute::{MOST_DIMENSIONS, Swizzle, TENSOR_MAP_BYTES, TensorMap};

use super::functions::{functions, put};
use super::status::{Failure, Status};

fn refused(message: String) -> Failure {
    Failure::new(Status::INVALID_VALUE, message)
}

/// Bytes of a number of a `CUtensorMapDataType`.
fn element_bytes(kind: c_int) -> Option<usize> {
    Some(match kind {
        0 => 1,
        1 | 6 | 9 => 2,
        2 | 3 | 7 => 4,
        4 | 5 | 8 => 8,
        _ => return None,
    })
}

/// What the manual of `cuTensorMapEncodeTiled` asks of a map.
fn check(map: &TensorMap) -> Result<(), String> {
    let TensorMap { address, element, sizes, strides, extents, swizzle } = map;
    if !address.is_multiple_of(16) {
        return Err(format!("the tensor is at {address:#x}, no multiple of 16"));
    }
    if let Some(size) = sizes.iter().find(|size| **size == 0 || **size > 1 << 32) {
        return Err(format!("a dimension of {size}"));
    }
    if let Some(stride) =
        strides[1..].iter().find(|stride| !stride.is_multiple_of(16) || **stride >= 1 << 40)
    {
        return Err(format!("a stride of {stride} bytes: a multiple of 16 below 2⁴⁰ is due"));
    }
    if let Some(extent) = extents.iter().find(|extent| **extent == 0 || **extent > 256) {
        return Err(format!("a box of {extent} along a dimension"));
    }
    let row = map.row_bytes();
    if !row.is_multiple_of(16) {
        return Err(format!("rows of boxes of {row} bytes, no multiple of 16"));
    }
    // The manual allows shorter rows; what lies between them then it doesn't say.
    if *swizzle != Swizzle::None && row != swizzle.row_bytes() {
        return Err(format!("rows of {row} bytes swizzled as rows of {}", swizzle.row_bytes()));
    }
    // Overlapping rows are read as any others, but nothing here asks for them.
    if strides[1..].iter().any(|stride| *stride < *element as u64) {
        return Err("a stride of 0 bytes".to_owned());
    }
    Ok(())
}

functions! {
    /// Describes a tensor for copies of boxes of it.
    fn cuTensorMapEncodeTiled(
        target: *mut [u8; TENSOR_MAP_BYTES],
        kind: c_int,
        rank: c_uint,
        address: *mut c_void,
        sizes: *const u64,
        strides: *const u64,
        extents: *const u32,
        element_strides: *const u32,
        interleave: c_int,
        swizzle: c_int,
        promotion: c_int,
        fill: c_int,
    ) {
        if !(target as usize).is_multiple_of(64) {
            return Err(refused(format!("the map is to be written to {target:p}, no multiple of 64")));
        }
        let rank = rank as usize;
        if !(1..=MOST_DIMENSIONS).contains(&rank) {
            return Err(refused(format!("a tensor of {rank} dimensions")));
        }
        if sizes.is_null() || extents.is_null() || element_strides.is_null() {
            return Err(refused("a list is null".to_owned()));
        }
        if strides.is_null() && rank > 1 {
            return Err(refused("the list of strides is null".to_owned()));
        }
        let element = element_bytes(kind).ok_or_else(|| refused(format!("data type {kind}")))?;
        // SAFETY: the caller's lists have a number for each dimension, that of strides one fewer.
        let (sizes, outer, extents, steps) = unsafe {
            (
                std::slice::from_raw_parts(sizes, rank).to_vec(),
                if rank > 1 { std::slice::from_raw_parts(strides, rank - 1) } else { &[] },
                std::slice::from_raw_parts(extents, rank).to_vec(),
                std::slice::from_raw_parts(element_strides, rank),
            )
        };
        if steps.iter().any(|step| *step != 1) || interleave != 0 || fill != 0 {
            let message = "element strides, interleaved layouts and other fills than zeros aren't supported";
            return Err(Failure::new(Status::NOT_SUPPORTED, message));
        }
        if !(0..=3).contains(&promotion) {
            return Err(refused(format!("promotion {promotion}")));
        }
        let swizzle = u8::try_from(swizzle)
            .ok()
            .and_then(Swizzle::of)
            .ok_or_else(|| refused(format!("swizzle {swizzle}")))?;
        let strides = [&[element as u64], outer].concat();
        let map = TensorMap { address: address as u64, element, sizes, strides, extents, swizzle };
        check(&map).map_err(refused)?;
        // SAFETY: the caller's pointer.
        unsafe { put(target, map.encode()) }
    }
}
