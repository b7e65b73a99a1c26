//! The linear layer against the CPU's.

use super::*;
use crate::Layout;
use crate::testing::{FLOATS, HostTensor, assert_near, gpu, on_cpu, rounding};
use cpu_kernels::linear as cpu;

/// Inputs of one call, and what it does with them.
struct Case {
    input: HostTensor,
    weight: HostTensor,
    bias: Option<HostTensor>,
}

impl Case {
    /// `padding` elements lie between the rows of the input.
    fn new(
        dtype: DType,
        [rows, columns, channels]: [usize; 3],
        padding: usize,
        bias: bool,
    ) -> Case {
        let stride = channels + padding;
        let layout = Layout { shape: vec![rows, channels], strides: vec![stride, 1], offset: 0 };
        Case {
            input: HostTensor::random_view(dtype, layout, 1),
            weight: HostTensor::random(dtype, &[columns, channels], 2),
            bias: bias.then(|| HostTensor::random(dtype, &[columns], 3)),
        }
    }

    fn unwritten(&self) -> HostTensor {
        let shape = [self.input.layout.shape[0], self.weight.layout.shape[0]];
        HostTensor::unwritten(self.input.dtype, &shape)
    }

    fn on_device(&self, gpu: &Gpu, activation: Activation) -> HostTensor {
        let [input, weight] = [&self.input, &self.weight].map(|tensor| tensor.on(gpu));
        let bias = self.bias.as_ref().map(|bias| bias.on(gpu));
        let output = self.unwritten().on(gpu);
        let bias = bias.as_ref().map(|bias| &bias.view);
        linear(gpu, &input.view, &weight.view, bias, activation, &output.view).unwrap();
        output.back()
    }

    fn on_host(&self, activation: cpu::Activation) -> HostTensor {
        let mut output = self.unwritten();
        let bias = self.bias.as_ref().map(HostTensor::host);
        on_cpu(|on| {
            let (input, weight) = (self.input.host(), self.weight.host());
            cpu::linear(on, &input, &weight, bias.as_ref(), activation, &output.host_mut());
        });
        output
    }
}

#[test]
fn sums_are_those_of_the_cpu_in_another_order() {
    let gpu = gpu();
    // Whole vectors, then ragged ones: rows, columns and channels on both sides of a block.
    let shapes = [[3, 272, 144], [130, 16, 48], [1, 1, 1], [65, 130, 33], [2, 7, 257]];
    for dtype in FLOATS {
        for shape @ [_, columns, channels] in shapes {
            let padding = if columns % 16 == 0 { 32 } else { 3 };
            let case = Case::new(dtype, shape, padding, columns != 16);
            let (found, expected) =
                (case.on_device(&gpu, Activation::None), case.on_host(cpu::Activation::None));
            // A sum of products below 1 has as many roundings in either order.
            let absolute = (channels + 1) as f64 * channels as f64 * 2f64.powi(-24);
            let what = format!("{} {shape:?}", dtype.name());
            assert_near(&what, &found, &expected, 2.0 * rounding(dtype), absolute.min(1e-4));
        }
    }
}

#[test]
fn a_row_has_the_same_bytes_whatever_the_rows_beside_it() {
    let gpu = gpu();
    for dtype in FLOATS {
        for columns in [32, 33] {
            let case = Case::new(dtype, [131, columns, 80], 0, true);
            let all = case.on_device(&gpu, Activation::None);
            let row = columns * dtype.size();
            for (first, count) in [(0, 1), (130, 1), (60, 70)] {
                let shape = vec![count, 80];
                let layout = Layout { shape, strides: vec![80, 1], offset: first * 80 };
                let part = Case {
                    input: case.input.viewed(layout),
                    ..Case::new(dtype, [1, columns, 80], 0, true)
                };
                let part = part.on_device(&gpu, Activation::None);
                assert_eq!(part.bytes(), &all.bytes()[first * row..][..count * row], "{first}");
            }
        }
    }
}

#[test]
fn an_activation_reads_the_rounded_sum() {
    let gpu = gpu();
    for dtype in FLOATS {
        let case = Case::new(dtype, [5, 48, 32], 0, true);
        for (activation, reference) in [
            (Activation::Silu, cpu::Activation::Silu),
            (Activation::Gelu, cpu::Activation::Gelu),
            (Activation::GeluTanh, cpu::Activation::GeluTanh),
            (Activation::QuickGelu, cpu::Activation::QuickGelu),
        ] {
            let plain = case.on_device(&gpu, Activation::None);
            let mut expected = case.unwritten();
            on_cpu(|on| {
                cpu_kernels::unary::activation(on, reference, &plain.host(), &expected.host_mut())
            });
            let found = case.on_device(&gpu, activation);
            assert_near(dtype.name(), &found, &expected, 2.0 * rounding(dtype), 1e-6);
        }
    }
}

#[test]
fn nothing_to_sum_leaves_the_bias() {
    let gpu = gpu();
    for dtype in FLOATS {
        let case = Case::new(dtype, [3, 32, 0], 16, true);
        let bias = case.bias.as_ref().map(HostTensor::floats).unwrap_or_default();
        let output = case.on_device(&gpu, Activation::None);
        assert!(output.floats().chunks(32).all(|row| row == bias), "{}", dtype.name());
    }
}

#[test]
fn one_input_row_may_be_repeated() {
    let gpu = gpu();
    let mut case = Case::new(DType::BFloat16, [20, 16, 48], 0, false);
    case.input = case.input.viewed(Layout { shape: vec![20, 48], strides: vec![0, 1], offset: 0 });
    let output = case.on_device(&gpu, Activation::None).floats();
    assert!(output.chunks(16).all(|row| row == &output[..16]));
}
