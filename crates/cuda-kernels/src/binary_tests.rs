//! Arithmetic on the emulated device beside the processor's: the same bytes.

use super::*;
use crate::testing::{HostTensor, assert_same, expected, gpu, layouts, outputs, special};
use crate::{DType, Layout};
use cpu_kernels::binary as cpu;

fn on_host(operation: BinaryOperation) -> cpu::BinaryOperation {
    cpu::BinaryOperation::ALL[operation as usize]
}

/// The operations that a type has.
fn operations(dtype: DType) -> impl Iterator<Item = BinaryOperation> {
    let all = BinaryOperation::ALL.into_iter();
    all.filter(move |&one| one != BinaryOperation::Divide || dtype.is_float())
}

fn check(
    gpu: &Gpu,
    operation: BinaryOperation,
    left: &HostTensor,
    right: &HostTensor,
    shape: &[usize],
) {
    let dtype = left.dtype;
    let (on_left, on_right) = (left.on(gpu), right.on(gpu));
    let kinds = [(dtype, shape)];
    let [found] = outputs(gpu, kinds, |[output]| {
        binary(gpu, operation, &on_left.view, &on_right.view, output)
    });
    let [wanted] = expected(kinds, |on, [output]| {
        cpu::binary(on, on_host(operation), &left.host(), &right.host(), &output);
    });
    let case = format!("{dtype:?} {operation:?} {:?} {:?}", left.layout, right.layout);
    assert_same(dtype, &found, &wanted, &case);
}

#[test]
fn operands_of_any_strides_repeat_to_each_other() {
    let gpu = gpu();
    for dtype in DType::ALL {
        let tensor = |shape: &[usize], seed| special(dtype, Layout::contiguous(shape), seed);
        for operation in operations(dtype) {
            for (left, right, shape) in [
                (vec![5, 7], vec![7], vec![5, 7]),
                (vec![4, 1, 33], vec![1, 6, 1], vec![4, 6, 33]),
                (vec![], vec![2, 3], vec![2, 3]),
                (vec![0, 3], vec![3], vec![0, 3]),
                (vec![], vec![], vec![]),
            ] {
                check(&gpu, operation, &tensor(&left, 1), &tensor(&right, 2), &shape);
            }
        }
        for layout in layouts() {
            let shape = layout.shape.clone();
            let right = special(dtype, Layout::contiguous(&shape), 3);
            check(&gpu, BinaryOperation::Subtract, &special(dtype, layout, 4), &right, &shape);
        }
    }
}

#[test]
fn consecutive_floats_go_by_whole_blocks_and_a_rest() {
    let gpu = gpu();
    for dtype in [DType::Float32, DType::BFloat16, DType::Float16] {
        for operation in operations(dtype) {
            for (count, offset) in [(1, 0), (1024, 0), (1100, 0), (1100, 1)] {
                let layout = Layout { shape: vec![count], strides: vec![1], offset };
                let (left, right) = (special(dtype, layout.clone(), 5), special(dtype, layout, 6));
                check(&gpu, operation, &left, &right, &[count]);
            }
        }
    }
}

#[test]
fn a_number_stands_for_a_tensor() {
    let gpu = gpu();
    for dtype in DType::ALL {
        for layout in [
            Layout::contiguous(&[3, 400]),
            Layout { shape: vec![5, 7], strides: vec![1, 5], offset: 2 },
            Layout::contiguous(&[0]),
        ] {
            let left = special(dtype, layout, 7);
            let device = left.on(&gpu);
            let number = if dtype.is_float() { 0.1 } else { 77.0 };
            let kinds = [(dtype, &left.layout.shape[..])];
            for operation in operations(dtype) {
                let [found] = outputs(&gpu, kinds, |[output]| {
                    binary_scalar(&gpu, operation, &device.view, number, output)
                });
                let [wanted] = expected(kinds, |on, [output]| {
                    let operation = on_host(operation);
                    cpu::binary_scalar(on, operation, &left.host(), number, &output);
                });
                assert_same(dtype, &found, &wanted, &format!("{dtype:?} {operation:?} {number}"));
            }
        }
    }
}
