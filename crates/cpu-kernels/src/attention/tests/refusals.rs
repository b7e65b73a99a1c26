//! Arguments that don't fit together.

use crate::attention::{AttentionArguments, LogSumExp, attention};
use crate::{Cpu, DType, InstructionSet, Layout, TensorMut, TensorRef, ThreadPool};

/// Shapes of one call; strides and types are good unless given.
struct Call {
    query: [usize; 4],
    key: [usize; 4],
    value: [usize; 4],
    mask: Option<Layout>,
    output: [usize; 4],
    log_sum_exp: [usize; 3],
    residue: [usize; 3],
    channel_stride: usize,
    key_dtype: DType,
}

const GOOD: Call = Call {
    query: [1, 3, 2, 4],
    key: [1, 5, 2, 4],
    value: [1, 5, 2, 4],
    mask: None,
    output: [1, 3, 2, 4],
    log_sum_exp: [1, 3, 2],
    residue: [1, 3, 2],
    channel_stride: 1,
    key_dtype: DType::Float32,
};

impl Call {
    fn run(self) {
        let elements = [0.5f32; 4096];
        let (mut output, mut log_sum_exp, mut residue) = ([0f32; 4096], [0f32; 64], [0f32; 64]);
        let view = |layout, dtype| {
            // SAFETY: every layout here lies in the elements, and any bits are a float.
            unsafe { TensorRef::new(elements.as_ptr().cast(), dtype, layout) }
        };
        let mut query = Layout::contiguous(&self.query);
        query.strides[3] = self.channel_stride;
        let pool = ThreadPool::new(1);
        attention(
            &Cpu { pool: &pool, instruction_set: InstructionSet::detect() },
            &AttentionArguments {
                query: view(query, DType::Float32),
                key: view(Layout::contiguous(&self.key), self.key_dtype),
                value: view(Layout::contiguous(&self.value), DType::Float32),
                mask: self.mask.map(|layout| view(layout, DType::Float32)),
                scale: 1.0,
                output: TensorMut::from_slice(
                    &mut output[..self.output.iter().product()],
                    &self.output,
                ),
                log_sum_exp: Some(LogSumExp {
                    rounded: TensorMut::from_slice(
                        &mut log_sum_exp[..self.log_sum_exp.iter().product()],
                        &self.log_sum_exp,
                    ),
                    residue: TensorMut::from_slice(
                        &mut residue[..self.residue.iter().product()],
                        &self.residue,
                    ),
                }),
            },
        );
    }
}

#[test]
fn good_arguments_pass() {
    GOOD.run();
    Call { mask: Some(Layout::contiguous(&[1, 2, 1, 5])), ..GOOD }.run();
}

#[test]
#[should_panic(expected = "shape of key")]
fn key_of_other_heads() {
    Call { key: [1, 5, 3, 4], ..GOOD }.run();
}

#[test]
#[should_panic(expected = "shape of value")]
fn value_of_another_length() {
    Call { value: [1, 6, 2, 4], ..GOOD }.run();
}

#[test]
#[should_panic(expected = "dtype of key")]
fn key_of_another_type() {
    Call { key_dtype: DType::BFloat16, ..GOOD }.run();
}

#[test]
#[should_panic(expected = "head size 1025 is not 1 to 1024")]
fn too_long_a_head() {
    let [query, key] = [[1, 1, 1, 1025], [1, 2, 1, 1025]];
    let row = [1, 1, 1];
    Call { query, key, value: key, output: query, log_sum_exp: row, residue: row, ..GOOD }.run();
}

#[test]
#[should_panic(expected = "query has a stride of 2 between channels, not 1")]
fn channels_apart() {
    Call { channel_stride: 2, ..GOOD }.run();
}

#[test]
#[should_panic(expected = "mask has shape [1, 2, 4, 5], which doesn't repeat to [1, 2, 3, 5]")]
fn mask_of_other_queries() {
    Call { mask: Some(Layout::contiguous(&[1, 2, 4, 5])), ..GOOD }.run();
}

#[test]
#[should_panic(expected = "mask has a stride of 3 between keys, not 0 or 1")]
fn mask_transposed() {
    let mask = Layout { shape: vec![1, 2, 3, 5], strides: vec![30, 15, 1, 3], offset: 0 };
    Call { mask: Some(mask), ..GOOD }.run();
}

#[test]
#[should_panic(expected = "shape of output")]
fn output_of_another_shape() {
    Call { output: [1, 5, 2, 4], ..GOOD }.run();
}

#[test]
#[should_panic(expected = "shape of log_sum_exp")]
fn log_sum_exp_of_another_order() {
    Call { log_sum_exp: [1, 2, 3], ..GOOD }.run();
}

#[test]
#[should_panic(expected = "shape of residue")]
fn a_residue_of_fewer_rows() {
    Call { residue: [1, 2, 2], ..GOOD }.run();
}
