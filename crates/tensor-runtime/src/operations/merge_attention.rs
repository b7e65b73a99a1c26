//! Attention over parts of the keys, put together.

use super::{LogSumExp, check, copy};
use crate::error::RuntimeError;
use crate::stream::Stream;
use crate::tensor::Tensor;
use cpu_kernels::DType;
use cpu_kernels::merge::{self, AttentionPart};
use cuda_kernels::merge as gpu_merge;

const NAME: &str = "mergeAttention";

/// Attention over some of the keys, as [`super::attention`] gives it.
#[derive(Clone, Copy)]
pub struct PartialAttention<'a> {
    /// (B, S, H, D).
    pub output: &'a Tensor,
    /// float32 (B, S, H).
    pub log_sum_exp: &'a Tensor,
    /// float32 (B, S, H): what is to be added to the log-sum-exp; nothing where it isn't given.
    pub residue: Option<&'a Tensor>,
}

/// Attention over the keys of two parts, computed in float64: the output of `first` is float32, that
/// of `second` any float type. All results are float32. Refuses other shapes and element types.
pub fn merge_attention(
    stream: &Stream,
    first: PartialAttention,
    second: PartialAttention,
) -> Result<(Tensor, LogSumExp), RuntimeError> {
    let shape = first.output.shape();
    let &[batch, tokens, heads, _] = shape else {
        return Err(RuntimeError::shape(NAME, "first", "(B, S, H, D)", shape));
    };
    check::has_dtype(NAME, "first", first.output, DType::Float32)?;
    check::is_float(NAME, "second", second.output)?;
    check::has_shape(NAME, "second", second.output, shape, "the shape of first")?;
    let rows = [batch, tokens, heads];
    for (argument, sums) in [
        ("firstLogSumExp", Some(first.log_sum_exp)),
        ("secondLogSumExp", Some(second.log_sum_exp)),
        ("firstLogSumExpResidue", first.residue),
        ("secondLogSumExpResidue", second.residue),
    ] {
        let Some(sums) = sums else { continue };
        check::has_dtype(NAME, argument, sums, DType::Float32)?;
        check::has_shape(NAME, argument, sums, &rows, "(B, S, H) of first")?;
    }
    let whole = |tensor: &Tensor| match tensor.is_contiguous() {
        true => Ok(tensor.clone()),
        false => copy(stream, tensor, tensor.dtype()),
    };
    let mut inputs = Vec::new();
    for part in [first, second] {
        inputs.extend([whole(part.output)?, whole(part.log_sum_exp)?]);
    }
    let mut residues = [None; 2];
    for (part, place) in [first, second].into_iter().zip(&mut residues) {
        if let Some(residue) = part.residue {
            *place = Some(inputs.len());
            inputs.push(whole(residue)?);
        }
    }
    let sums = (DType::Float32, rows.to_vec());
    let outputs = [(DType::Float32, shape.to_vec()), sums.clone(), sums];
    let [output, rounded, residue] = stream.submit(
        NAME,
        inputs,
        outputs,
        move |cpu, inputs, outputs| {
            let part = |index: usize| AttentionPart {
                output: &inputs[2 * index],
                log_sum_exp: &inputs[2 * index + 1],
                residue: residues[index].map(|place: usize| &inputs[place]),
            };
            let [output, rounded, residue] = outputs else { unreachable!("three are asked for") };
            merge::merge_attention(cpu, part(0), part(1), output, rounded, residue);
            Ok(())
        },
        move |gpu, inputs, outputs| {
            let part = |index: usize| gpu_merge::AttentionPart {
                output: &inputs[2 * index],
                log_sum_exp: &inputs[2 * index + 1],
                residue: residues[index].map(|place: usize| &inputs[place]),
            };
            let [output, rounded, residue] = outputs else { unreachable!("three are asked for") };
            Ok(gpu_merge::merge_attention(gpu, part(0), part(1), output, rounded, residue)?)
        },
    )?;
    Ok((output, LogSumExp { rounded, residue }))
}
