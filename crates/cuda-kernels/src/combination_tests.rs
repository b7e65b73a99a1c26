//! Sums of several tensors on the emulated device beside the processor's: the same bytes.

use super::*;
use crate::Layout;
use crate::testing::{HostTensor, assert_same, expected, gpu, numbers, outputs, permuted, special};
use cpu_kernels::combination as cpu;

#[test]
fn weighted_sums_of_any_number_of_tensors() {
    let gpu = gpu();
    for (terms, shape) in
        [(1, vec![]), (2, vec![0]), (5, vec![3, 301]), (8, vec![7]), (9, vec![600]), (17, vec![5])]
    {
        let inputs: Vec<HostTensor> = (0..terms)
            .map(|term| numbers(DType::Float32, Layout::contiguous(&shape), term))
            .collect();
        let coefficients: Vec<f64> =
            (0..terms).map(|term| [1.0 / 3.0, -0.7, 1e8, -1e8][term as usize % 4]).collect();
        let devices: Vec<_> = inputs.iter().map(|input| input.on(&gpu)).collect();
        let views: Vec<_> = devices.iter().map(|device| device.view.clone()).collect();
        let kinds = [(DType::Float32, &shape[..])];
        let [found] =
            outputs(&gpu, kinds, |[output]| weighted_sum(&gpu, &views, &coefficients, output));
        let hosts: Vec<_> = inputs.iter().map(HostTensor::host).collect();
        let [wanted] = expected(kinds, |on, [output]| {
            cpu::weighted_sum(on, &hosts, &coefficients, &output);
        });
        assert_same(DType::Float32, &found, &wanted, &format!("{terms} of {shape:?}"));
    }
}

fn check_gated(
    gpu: &Gpu,
    residual: &HostTensor,
    update: &HostTensor,
    gate: &HostTensor,
    in_rows: bool,
) {
    let (dtype, shape) = (residual.dtype, &residual.layout.shape[..]);
    let [on_residual, on_update, on_gate] = [residual, update, gate].map(|tensor| tensor.on(gpu));
    let kinds = [(dtype, shape)];
    let [found] = outputs(gpu, kinds, |[output]| {
        let views = [&on_residual.view, &on_update.view, &on_gate.view];
        let rows = GateRows::of(views[0], views[1], views[2], output);
        assert_eq!(rows.is_some(), in_rows, "{:?} by {:?}", residual.layout, gate.layout);
        gated_residual(gpu, views[0], views[1], views[2], output)
    });
    let [wanted] = expected(kinds, |on, [output]| {
        cpu::gated_residual(on, &residual.host(), &update.host(), &gate.host(), &output);
    });
    let case = format!("{dtype:?} {:?} by {:?}", residual.layout, gate.layout);
    assert_same(dtype, &found, &wanted, &case);
}

#[test]
fn gates_repeat_to_the_residual() {
    let gpu = gpu();
    for dtype in [DType::Float32, DType::BFloat16, DType::Float16] {
        for (shape, gate, in_rows) in [
            (vec![2, 5, 32], vec![2, 1, 32], true),
            (vec![2, 5, 1040], vec![2, 5, 1040], true),
            (vec![2, 5, 32], vec![1, 5, 32], true),
            (vec![5, 32], vec![32], true),
            (vec![32], vec![32], true),
            (vec![2, 5, 33], vec![2, 1, 33], false),
            (vec![2, 5, 32], vec![2, 5, 1], false),
            (vec![2, 5, 32], vec![], false),
            (vec![2, 3, 5, 32], vec![2, 1, 5, 32], false),
            (vec![2, 0, 32], vec![2, 1, 32], false),
        ] {
            let tensor =
                |dtype, shape: &[usize], seed| special(dtype, Layout::contiguous(shape), seed);
            let (residual, update) = (tensor(dtype, &shape, 1), tensor(dtype, &shape, 2));
            let in_rows = in_rows && !shape.contains(&0);
            if shape.contains(&0) {
                let kinds = [(dtype, &shape[..])];
                let [residual, update] = [&residual, &update].map(|tensor| tensor.on(&gpu));
                let gate = tensor(DType::Float32, &gate, 3).on(&gpu);
                let [none] = outputs(&gpu, kinds, |[output]| {
                    gated_residual(&gpu, &residual.view, &update.view, &gate.view, output)
                });
                assert!(none.is_empty());
                continue;
            }
            check_gated(&gpu, &residual, &update, &tensor(DType::Float32, &gate, 3), in_rows);
        }
        let turned = special(dtype, permuted(&[32, 6], &[1, 0]), 4);
        let straight = special(dtype, Layout::contiguous(&[6, 32]), 5);
        let gate = special(DType::Float32, Layout::contiguous(&[32]), 6);
        check_gated(&gpu, &turned, &straight, &gate, false);
    }
}
