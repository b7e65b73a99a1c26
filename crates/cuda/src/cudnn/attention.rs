//! Attention as a graph of one operation.

use super::descriptor::{Descriptor, Place};
use super::library::CudnnLibrary;
use super::sys;
use crate::error::{CudaError, CudaErrorCode};
use std::sync::Arc;
use tensor_layout::DType;

/// Addresses, and distances between rows, are multiples of so many bytes: what a bulk copy to shared
/// memory asks for.
pub const ALIGNMENT: usize = 16;
/// The largest head that every device has a way of computing.
pub const MAX_HEAD_SIZE: usize = 128;
/// Head sizes are multiples of it.
pub const HEAD_SIZE_STEP: usize = 8;

/// What tensors are called in graphs.
pub(super) const QUERY: i64 = 1;
pub(super) const KEY: i64 = 2;
pub(super) const VALUE: i64 = 3;
pub(super) const OUTPUT: i64 = 4;
pub(super) const SCALE: i64 = 5;
pub(super) const LOG_SUM_EXP: i64 = 6;

/// How a tensor (batch, row, head, channel) lies in memory: elements between neighbours. Channels are
/// beside each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Strides {
    /// Between batches.
    pub batch: usize,
    /// Between rows.
    pub row: usize,
    /// Between heads.
    pub head: usize,
}

/// All that a plan for an attention depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AttentionShape {
    /// Of query, key, value and output: bfloat16 or float16.
    pub dtype: DType,
    /// Batches, at least one.
    pub batch: usize,
    /// Rows of the query and the output, at least one.
    pub queries: usize,
    /// Rows of key and value, at least one.
    pub keys: usize,
    /// Heads, at least one.
    pub heads: usize,
    /// Channels of a head: a multiple of [`HEAD_SIZE_STEP`] up to [`MAX_HEAD_SIZE`].
    pub size: usize,
    /// Of the query. All strides are multiples of [`ALIGNMENT`] bytes above 0, where there is more
    /// than one of what they lie between.
    pub query: Strides,
    /// Of the key.
    pub key: Strides,
    /// Of the value.
    pub value: Strides,
    /// Whether the logarithms of the rows' sums are wanted.
    pub log_sum_exp: bool,
}

/// Where the tensors of an attention are, on the device: multiples of [`ALIGNMENT`].
#[derive(Clone, Copy, Debug)]
pub struct AttentionAddresses {
    /// (batch, queries, heads, size), of the shape's strides.
    pub query: u64,
    /// (batch, keys, heads, size), of the shape's strides.
    pub key: u64,
    /// (batch, keys, heads, size), of the shape's strides.
    pub value: u64,
    /// (batch, queries, heads, size), contiguous.
    pub output: u64,
    /// (batch, heads, queries), float32, contiguous; used where the shape says so.
    pub log_sum_exp: u64,
}

impl AttentionShape {
    /// For messages.
    pub(super) fn describe(&self) -> String {
        let AttentionShape { dtype, batch, queries, keys, heads, size, .. } = self;
        let dtype = dtype.name();
        format!("attention of {dtype}, batch {batch}, {queries} to {keys}, {heads} heads of {size}")
    }

    /// Refuses what cuDNN isn't asked for.
    pub(super) fn check(&self) -> Result<sys::DataType, CudaError> {
        let refuse = |why: String| {
            let message = format!("{}: {why}", self.describe());
            CudaError::refused(CudaErrorCode::Unsupported, "cudnnBackendExecute", message)
        };
        let data_type = match self.dtype {
            DType::BFloat16 => sys::CUDNN_DATA_BFLOAT16,
            DType::Float16 => sys::CUDNN_DATA_HALF,
            _ => return Err(refuse("cuDNN has it of bfloat16 and float16".into())),
        };
        let &AttentionShape { batch, queries, keys, heads, size, query, key, value, .. } = self;
        if [batch, queries, keys, heads, size].contains(&0) {
            return Err(refuse("cuDNN has no empty tensors".into()));
        }
        if size > MAX_HEAD_SIZE || !size.is_multiple_of(HEAD_SIZE_STEP) {
            let why = format!("heads are multiples of {HEAD_SIZE_STEP} up to {MAX_HEAD_SIZE}");
            return Err(refuse(why));
        }
        for (name, rows, strides) in
            [("query", queries, query), ("key", keys, key), ("value", keys, value)]
        {
            let between = [(batch, strides.batch), (rows, strides.row), (heads, strides.head)];
            let whole = |stride: usize| {
                stride > 0 && (stride * self.dtype.size()).is_multiple_of(ALIGNMENT)
            };
            if between.iter().any(|&(count, stride)| count > 1 && !whole(stride)) {
                let why =
                    format!("{name} has {strides:?}, which must be multiples of {ALIGNMENT} bytes");
                return Err(refuse(why));
            }
        }
        Ok(data_type)
    }

    /// The graph whose one operation computes it: softmax(scale · query · keyᵀ) · value.
    pub(super) fn operation(&self, library: &Arc<CudnnLibrary>) -> Result<Descriptor, CudaError> {
        let data_type = self.check()?;
        let &AttentionShape { batch, queries, keys, heads, size, query, key, value, .. } = self;
        let device = Place::Device { alignment: ALIGNMENT };
        let tensor = |id, rows, strides: Strides| {
            // Nothing is between the only one and the next: the library wants a distance all the same.
            let or = |count, stride, contiguous| if count > 1 { stride } else { contiguous };
            let row = or(rows, strides.row, heads * size);
            let strides =
                [or(batch, strides.batch, rows * row), or(heads, strides.head, size), row, 1];
            let shape = [batch, heads, rows, size];
            Descriptor::tensor(library, id, data_type, shape, strides, device)
        };
        let contiguous = Strides { batch: queries * heads * size, row: heads * size, head: size };
        let query = tensor(QUERY, queries, query)?;
        let key = tensor(KEY, keys, key)?;
        let value = tensor(VALUE, keys, value)?;
        let output = tensor(OUTPUT, queries, contiguous)?;
        let float = sys::CUDNN_DATA_FLOAT;
        let scale = Descriptor::tensor(library, SCALE, float, [1; 4], [1; 4], Place::Host)?;
        let operation = Descriptor::new(library, sys::CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR)?;
        for (name, tensor) in [
            (sys::CUDNN_ATTR_OPERATION_SDPA_FWD_QDESC, &query),
            (sys::CUDNN_ATTR_OPERATION_SDPA_FWD_KDESC, &key),
            (sys::CUDNN_ATTR_OPERATION_SDPA_FWD_VDESC, &value),
            (sys::CUDNN_ATTR_OPERATION_SDPA_FWD_ODESC, &output),
            (sys::CUDNN_ATTR_OPERATION_SDPA_FWD_SCALEDESC, &scale),
        ] {
            operation.set_descriptors(name, &[tensor])?;
        }
        if self.log_sum_exp {
            let shape = [batch, heads, queries, 1];
            let strides = [heads * queries, queries, 1, 1];
            let sums = Descriptor::tensor(library, LOG_SUM_EXP, float, shape, strides, device)?;
            operation.set_descriptors(sys::CUDNN_ATTR_OPERATION_SDPA_FWD_STATSDESC, &[&sums])?;
        }
        operation.finalized()
    }
}
