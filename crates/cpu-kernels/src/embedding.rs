//! Rows of a table by index.

use crate::element::{Element, for_element};
use crate::walk::Walk;
use crate::{Cpu, DType, TensorMut, TensorRef};

/// Bytes that a thread copies at a time.
const GRAIN_BYTES: usize = 64 << 10;

/// An index that the table has no row for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexOutOfRange {
    /// The index.
    pub index: i64,
    /// The table's rows.
    pub rows: usize,
}

/// output[…, :] = table[indices[…], :], for a table (rows, C) with consecutive elements in a row,
/// contiguous indices (`Int32` or `Int64`) of any shape, and an output of that shape and C.
///
/// Every index is checked before anything is written.
pub fn embedding(
    cpu: &Cpu,
    table: &TensorRef,
    indices: &TensorRef,
    output: &TensorMut,
) -> Result<(), IndexOutOfRange> {
    let &[rows, channels] = table.shape() else {
        panic!("embedding: table has shape {:?}", table.shape());
    };
    assert!(channels <= 1 || table.strides()[1] == 1, "embedding: table rows are strided");
    assert_eq!(table.dtype, output.dtype);
    let places: Vec<usize> = match indices.dtype {
        DType::Int32 => {
            places(indices.as_slice::<i32>().iter().map(|&index| i64::from(index)), rows)?
        }
        DType::Int64 => places(indices.as_slice::<i64>().iter().copied(), rows)?,
        other => panic!("embedding: indices are {}", other.name()),
    };
    assert_eq!(output.layout.count(), places.len() * channels);
    for_element!(table.dtype, T => gather::<T>(cpu, table, &places, output));
    Ok(())
}

fn gather<T: Element>(cpu: &Cpu, table: &TensorRef, rows: &[usize], output: &TensorMut) {
    let channels = table.shape()[1];
    let walk = Walk::new(&[rows.len()], [&[1]]);
    walk.for_each_run(cpu, GRAIN_BYTES / (channels * size_of::<T>()).max(1), |[first], count| {
        for (place, &row) in rows.iter().enumerate().skip(first).take(count) {
            // SAFETY: `row` is below the table's rows, `place` below the output's, and each of
            // both has `channels` elements.
            unsafe {
                let from = table.as_ptr::<T>().add(row * table.strides()[0]);
                let to = output.as_mut_ptr::<T>().add(place * channels);
                std::ptr::copy_nonoverlapping(from, to, channels);
            }
        }
    });
}

fn places(indices: impl Iterator<Item = i64>, rows: usize) -> Result<Vec<usize>, IndexOutOfRange> {
    indices
        .map(|index| {
            usize::try_from(index)
                .ok()
                .filter(|&row| row < rows)
                .ok_or(IndexOutOfRange { index, rows })
        })
        .collect()
}
