//! Scaled dot-product attention: softmax(scale · Q Kᵀ + mask) V.

use crate::number::{blocks, grid, number};
use crate::pipelined_attention::{boxes, can_be_copied};
use crate::{Attentions, DType, DeviceView, Gpu};
use cuda::{Argument, CudaError};
use std::f64::consts::LOG2_E;

/// The greatest head size.
pub const MAX_HEAD_SIZE: usize = 1024;

/// Row strides from here on don't fit the flash kernel's offsets within a block.
const WIDE_ROWS: usize = 1 << 23;

/// What [`attention`] reads and fills.
pub struct AttentionArguments<'a> {
    /// (batch, queries, heads, head size), float; the last stride is 1, the others are free.
    pub query: &'a DeviceView,
    /// (batch, keys, heads, head size) of the query's type; the last stride is 1.
    pub key: &'a DeviceView,
    /// (batch, keys, heads, head size) of the query's type; the last stride is 1.
    pub value: &'a DeviceView,
    /// Added to the scaled scores: float32 (batch, heads, queries, keys). A dimension may be 1, or
    /// have the stride 0, to be repeated.
    pub mask: Option<&'a DeviceView>,
    /// What scores are multiplied by; 1 / sqrt(head size) in the paper.
    pub scale: f32,
    /// (batch, queries, heads, head size), contiguous, of the query's type.
    pub output: &'a DeviceView,
    /// Natural logarithm of the sum of the exponentials of the scaled and masked scores.
    pub log_sum_exp: Option<LogSumExp<'a>>,
}

/// A logarithm of a sum of exponentials a row, in two numbers, whose sum says more than one can.
pub struct LogSumExp<'a> {
    /// Float32 (batch, queries, heads), rounded to nearest.
    pub rounded: &'a DeviceView,
    /// Float32 (batch, queries, heads): what the rounding took away; 0 where `rounded` isn't finite.
    pub residue: &'a DeviceView,
}

/// Fills `output` and `log_sum_exp`, which changes nothing of `output`.
///
/// Scores and sums are float32. float32 is computed as such, without TF32; of 16-bit floats the
/// probabilities are rounded to their type before they meet the values.
///
/// - A row without keys, or whose scores are all minus infinity, is zeros with a log-sum-exp of minus
///   infinity, whatever the values.
/// - A NaN score, or one of plus infinity, makes its row NaN, log-sum-exp too.
/// - A NaN value makes its channel NaN in every row of its head, as 0 · NaN is NaN: a masked key's
///   too. An infinite value makes it infinite, or NaN in rows where the key's probability is 0.
/// - Finite scores don't overflow, however large.
///
/// 16-bit heads of 64 and 128 channels, without a mask and with a positive scale, whose pointers and
/// strides are multiples of 16 bytes and 16 elements, have a kernel of their own; where the device has it
/// ([`Attentions`](crate::Attentions)) and, besides, rows, heads and batches don't overlap or repeat,
/// another that is pipelined. Another serves all else, head sizes to [`MAX_HEAD_SIZE`], quicker where
/// there are such multiples. A row's bytes depend on that row, its head's keys, values and mask, the
/// device, and which kernel it is.
///
/// # Errors
///
/// What the device refuses, and `Unsupported` for sizes from 2³¹ on.
pub fn attention(gpu: &Gpu, arguments: &AttentionArguments) -> Result<(), CudaError> {
    let AttentionArguments { query, output, .. } = arguments;
    if output.count() == 0 {
        return Ok(());
    }
    let &[batch, queries, heads, size] = query.shape() else {
        panic!("attention: query has shape {:?}, expected (B, S, H, D)", query.shape());
    };
    let call = Call { arguments, batch, queries, heads, size };
    match Kernel::of(gpu.attentions(), arguments, size) {
        Kernel::Pipelined(name) => call.pipelined(gpu, name),
        Kernel::Flash(name) => call.flash(gpu, name),
        Kernel::General(name) => call.general(gpu, name),
    }
}

/// The kernel for an attention, by name. It depends on layouts, never on how many rows there are, but for
/// none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kernel<'a> {
    Pipelined(&'a str),
    Flash(&'static str),
    General(&'static str),
}

impl<'a> Kernel<'a> {
    fn of(attentions: &'a Attentions, arguments: &AttentionArguments, size: usize) -> Kernel<'a> {
        let AttentionArguments { query, key, value, output, scale, .. } = arguments;
        let in_whole_vectors = size.is_multiple_of(16)
            && output.is_aligned()
            && [query, key, value].into_iter().all(|tensor| {
                let mut strides = strides(tensor).into_iter();
                tensor.is_aligned() && strides.all(|stride| stride.is_multiple_of(16))
            });
        // The flash kernel takes the greatest score for the greatest scaled one.
        let is_plain = arguments.mask.is_none()
            && *scale > 0.0
            && scale.is_normal()
            && [query, key, value].into_iter().all(|tensor| tensor.strides()[1] < WIDE_ROWS);
        if in_whole_vectors
            && is_plain
            && [query, key, value].into_iter().all(|tensor| can_be_copied(tensor))
            && let Some(name) = attentions.kernel(query.dtype, size)
        {
            return Kernel::Pipelined(name);
        }
        match (query.dtype, in_whole_vectors, is_plain.then_some(size)) {
            (DType::BFloat16, true, Some(64)) => Kernel::Flash("flash_attention_bf16_64"),
            (DType::BFloat16, true, Some(128)) => Kernel::Flash("flash_attention_bf16_128"),
            (DType::Float16, true, Some(64)) => Kernel::Flash("flash_attention_f16_64"),
            (DType::Float16, true, Some(128)) => Kernel::Flash("flash_attention_f16_128"),
            (DType::BFloat16, true, _) => Kernel::General("attention_bf16_aligned"),
            (DType::BFloat16, false, _) => Kernel::General("attention_bf16"),
            (DType::Float16, true, _) => Kernel::General("attention_f16_aligned"),
            (DType::Float16, false, _) => Kernel::General("attention_f16"),
            _ => Kernel::General("attention_f32"),
        }
    }
}

/// One attention, with the shape of its query.
struct Call<'a, 'b> {
    arguments: &'a AttentionArguments<'b>,
    batch: usize,
    queries: usize,
    heads: usize,
    size: usize,
}

impl Call<'_, '_> {
    fn pipelined(&self, gpu: &Gpu, kernel: &str) -> Result<(), CudaError> {
        let tiles = self.row_blocks(gpu, kernel);
        let block = |name| gpu.constant(kernel, name);
        let rows = [block("BLOCK_QUERIES"), block("BLOCK_KEYS"), block("BLOCK_KEYS")];
        let mut arguments = Vec::new();
        for (tensor, rows) in self.inputs().into_iter().zip(rows) {
            arguments.push(Argument::TensorMap(gpu.device().tensor_map(&boxes(tensor, rows))?));
        }
        arguments.extend(self.results());
        arguments.push(Argument::F32(self.unit()));
        arguments.extend(self.sizes()?);
        arguments.extend([number("attention", tiles)?, self.has_log_sum_exp()]);
        // A block of threads takes a whole multiprocessor and goes from tile to tile.
        let most = gpu.device().multiprocessors() as usize;
        gpu.launch(kernel, grid("attention", tiles.min(most))?, &arguments)
    }

    fn flash(&self, gpu: &Gpu, kernel: &str) -> Result<(), CudaError> {
        let mut arguments = self.inputs().map(pointer).to_vec();
        arguments.extend(self.results());
        arguments.push(Argument::F32(self.unit()));
        arguments.extend(self.sizes()?);
        for tensor in self.inputs() {
            let [batch, row, head] = strides(tensor);
            arguments.extend([wide(batch), number("attention", row)?, wide(head)]);
        }
        arguments.push(self.has_log_sum_exp());
        gpu.launch(kernel, grid("attention", self.row_blocks(gpu, kernel))?, &arguments)
    }

    fn general(&self, gpu: &Gpu, kernel: &str) -> Result<(), CudaError> {
        let mask = self.arguments.mask;
        let mask_strides = match mask {
            Some(mask) => mask
                .shape()
                .iter()
                .zip(mask.strides())
                .map(|(&size, &stride)| wide(if size == 1 { 0 } else { stride }))
                .collect(),
            None => vec![wide(0); 4],
        };
        let mut arguments = self.inputs().map(pointer).to_vec();
        arguments.push(mask.map_or(Argument::Pointer(0), pointer));
        arguments.extend(self.results());
        arguments.push(Argument::F32(self.arguments.scale));
        arguments.extend(self.sizes()?);
        arguments.push(number("attention", self.size)?);
        arguments.extend(self.inputs().into_iter().flat_map(strides).map(wide));
        arguments.extend(mask_strides);
        arguments.push(Argument::I32(mask.is_some().into()));
        arguments.push(self.has_log_sum_exp());
        let columns = blocks(gpu, kernel, "BLOCK_COLUMNS", self.size);
        let programs = self.row_blocks(gpu, kernel) * columns;
        gpu.launch(kernel, grid("attention", programs)?, &arguments)
    }

    fn inputs(&self) -> [&DeviceView; 3] {
        [self.arguments.query, self.arguments.key, self.arguments.value]
    }

    fn results(&self) -> [Argument; 3] {
        let [rounded, residue] = match &self.arguments.log_sum_exp {
            Some(sums) => [sums.rounded, sums.residue].map(pointer),
            None => [Argument::Pointer(0); 2],
        };
        [pointer(self.arguments.output), rounded, residue]
    }

    /// What makes a score an exponent of 2.
    fn unit(&self) -> f32 {
        (f64::from(self.arguments.scale) * LOG2_E) as f32
    }

    fn has_log_sum_exp(&self) -> Argument {
        Argument::I32(self.arguments.log_sum_exp.is_some().into())
    }

    /// Heads, queries and keys.
    fn sizes(&self) -> Result<[Argument; 3], CudaError> {
        let keys = self.arguments.key.shape()[1];
        let count = |size| number("attention", size);
        Ok([count(self.heads)?, count(self.queries)?, count(keys)?])
    }

    fn row_blocks(&self, gpu: &Gpu, kernel: &str) -> usize {
        self.batch * self.heads * blocks(gpu, kernel, "BLOCK_QUERIES", self.queries)
    }
}

fn pointer(tensor: &DeviceView) -> Argument {
    Argument::Pointer(tensor.pointer())
}

fn wide(stride: usize) -> Argument {
    Argument::I64(stride as i64)
}

/// Strides of batch, row and head. Those of dimensions of one count too: a part of the rows takes the
/// kernel that all take together.
pub(crate) fn strides(tensor: &DeviceView) -> [usize; 3] {
    std::array::from_fn(|dim| tensor.strides()[dim])
}

#[cfg(test)]
#[path = "attention_tests.rs"]
mod tests;
