//! Rows of a table by index.

use crate::number::{blocks, grid, number};
use crate::pack::internal;
use crate::{DType, DeviceView, Gpu};
use cuda::{Argument, CudaError};

/// An index that the table has no row for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexOutOfRange {
    /// The index.
    pub index: i64,
    /// The table's rows.
    pub rows: usize,
}

/// Why [`embedding`] failed.
#[derive(Clone, Debug, PartialEq)]
pub enum EmbeddingError {
    /// For an index.
    Index(IndexOutOfRange),
    /// For what the device refused.
    Cuda(CudaError),
}

impl From<CudaError> for EmbeddingError {
    fn from(error: CudaError) -> EmbeddingError {
        EmbeddingError::Cuda(error)
    }
}

/// output[…, :] = table[indices[…], :], for a table (rows, C) with consecutive elements in a row,
/// contiguous indices (`Int32` or `Int64`) of any shape, and an output of that shape and C.
///
/// Every index is checked before anything is written: that waits for all work queued before, since
/// a kernel has nobody to tell of an index out of range.
///
/// # Errors
///
/// The first index that is out of range, or what the device refuses.
///
/// # Panics
/// For a table of another rank.
pub fn embedding(
    gpu: &Gpu,
    table: &DeviceView,
    indices: &DeviceView,
    output: &DeviceView,
) -> Result<(), EmbeddingError> {
    let &[rows, channels] = table.shape() else {
        panic!("embedding: table has shape {:?}", table.shape());
    };
    if table.dtype != output.dtype || output.count() != indices.count() * channels {
        let (table, output) = ((table.dtype, table.shape()), (output.dtype, output.shape()));
        return Err(internal(format!("embedding of {table:?} to {output:?}")).into());
    }
    let checked = checked(gpu, indices, rows)?;
    if output.count() == 0 {
        return Ok(());
    }
    let places = gpu.device().allocate(checked.len())?;
    // SAFETY: the memory has as many bytes, and nothing else uses it.
    unsafe { gpu.device().copy_to_device(places.address(), &checked) }?;
    let size = table.dtype.size();
    let [row, stride] = [channels, table.strides()[0]].map(|elements| elements * size);
    let addresses = [table.pointer(), output.pointer()].map(|address| address as usize);
    let [table, output] = [table, output].map(|view| Argument::Pointer(view.pointer()));
    // The longest words that rows consist of and begin at.
    let whole = |word: &usize| [row, stride].iter().chain(&addresses).all(|n| n % word == 0);
    let word = [8, 4, 2].into_iter().find(whole).unwrap_or(1);
    let kernel = format!("gather_{word}");
    let blocks = blocks(gpu, &kernel, "BLOCK", row / word);
    let arguments = [
        table,
        Argument::Pointer(places.address()),
        output,
        number("embedding", row / word)?,
        Argument::I64((stride / word) as i64),
    ];
    Ok(gpu.launch(&kernel, grid("embedding", indices.count() * blocks)?, &arguments)?)
}

/// The indices as bytes of 64-bit integers, all below `rows`.
fn checked(gpu: &Gpu, indices: &DeviceView, rows: usize) -> Result<Vec<u8>, EmbeddingError> {
    let mut bytes = vec![0; indices.bytes()];
    // SAFETY: the view's maker promised its elements, and it is contiguous.
    unsafe { gpu.device().copy_to_host(&mut bytes, indices.pointer()) }?;
    let wide: Vec<i64> = match indices.dtype {
        DType::Int32 => {
            let (words, _) = bytes.as_chunks::<4>();
            words.iter().map(|&word| i64::from(i32::from_ne_bytes(word))).collect()
        }
        DType::Int64 => {
            let (words, _) = bytes.as_chunks::<8>();
            words.iter().map(|&word| i64::from_ne_bytes(word)).collect()
        }
        other => return Err(internal(format!("embedding by {} indices", other.name())).into()),
    };
    let outside = |&&index: &&i64| usize::try_from(index).map_or(true, |index| index >= rows);
    match wide.iter().find(outside) {
        Some(&index) => Err(EmbeddingError::Index(IndexOutOfRange { index, rows })),
        None => Ok(wide.iter().flat_map(|index| index.to_ne_bytes()).collect()),
    }
}

#[cfg(test)]
#[path = "embedding_tests.rs"]
mod tests;
