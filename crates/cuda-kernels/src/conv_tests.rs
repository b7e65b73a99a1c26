//! Convolutions against the CPU's.

use super::*;
use crate::Layout;
use crate::testing::{FLOATS, HostTensor, assert_near, gpu, on_cpu, rounding};
use cpu_kernels::conv::{ConvGeometry, conv3d as on_the_cpu};

/// One convolution.
struct Case {
    /// (B, T, H, W, C).
    input: [usize; 5],
    columns: usize,
    kernel: [usize; 3],
    stride: [usize; 3],
    padding: [[usize; 2]; 3],
    /// Channels between those of a pixel and the next.
    between: usize,
}

/// What the models have: causal 3 × 3 × 3, the halving of an image and of frames, a patch embedding,
/// one tap; and one of odd numbers throughout.
const CASES: [Case; 8] = [
    Case {
        input: [1, 3, 4, 5, 16],
        columns: 80,
        kernel: [3, 3, 3],
        stride: [1, 1, 1],
        padding: [[2, 0], [1, 1], [1, 1]],
        between: 0,
    },
    Case {
        input: [2, 1, 7, 6, 48],
        columns: 3,
        kernel: [1, 3, 3],
        stride: [1, 2, 2],
        padding: [[0, 0], [0, 1], [0, 1]],
        between: 16,
    },
    Case {
        input: [1, 5, 3, 4, 32],
        columns: 16,
        kernel: [3, 1, 1],
        stride: [2, 1, 1],
        padding: [[0, 0]; 3],
        between: 0,
    },
    Case {
        input: [2, 2, 4, 6, 16],
        columns: 144,
        kernel: [1, 2, 2],
        stride: [1, 2, 2],
        padding: [[0, 0]; 3],
        between: 32,
    },
    Case {
        input: [1, 1, 5, 4, 64],
        columns: 80,
        kernel: [1, 3, 3],
        stride: [1, 1, 1],
        padding: [[0, 0], [1, 1], [1, 1]],
        between: 0,
    },
    Case {
        input: [1, 2, 9, 8, 32],
        columns: 96,
        kernel: [1, 1, 1],
        stride: [1, 1, 1],
        padding: [[0, 0]; 3],
        between: 0,
    },
    Case {
        input: [1, 2, 5, 6, 3],
        columns: 17,
        kernel: [3, 3, 3],
        stride: [1, 1, 1],
        padding: [[2, 0], [1, 1], [1, 1]],
        between: 0,
    },
    Case {
        input: [2, 3, 5, 4, 7],
        columns: 9,
        kernel: [2, 3, 1],
        stride: [1, 2, 3],
        padding: [[1, 1], [0, 2], [3, 0]],
        between: 2,
    },
];

impl Case {
    fn check(&self, gpu: &Gpu, dtype: DType) {
        let [batch, frames, height, width, channels] = self.input;
        let pixel = channels + self.between;
        let strides =
            vec![frames * height * width * pixel, height * width * pixel, width * pixel, pixel, 1];
        let layout = Layout { shape: self.input.to_vec(), strides, offset: 0 };
        let input = HostTensor::random_view(dtype, layout, 1);
        let kernel = self.kernel;
        let shape = [self.columns, channels, kernel[0], kernel[1], kernel[2]];
        let weight = HostTensor::random(dtype, &shape, 2);
        let bias = (self.columns != 16).then(|| HostTensor::random(dtype, &[self.columns], 3));
        let geometry = ConvGeometry { stride: self.stride, padding: self.padding };
        let [t, h, w] = geometry.output([frames, height, width], kernel).unwrap();
        let unwritten = HostTensor::unwritten(dtype, &[batch, t, h, w, self.columns]);

        let mut expected = unwritten.clone();
        on_cpu(|cpu| {
            let bias = bias.as_ref().map(HostTensor::host);
            let (input, weight, output) = (input.host(), weight.host(), expected.host_mut());
            on_the_cpu(cpu, &input, &weight, bias.as_ref(), &geometry, &output);
        });
        let output = unwritten.on(gpu);
        let bias = bias.map(|bias| bias.on(gpu));
        conv3d(
            gpu,
            &input.on(gpu).view,
            &weight.on(gpu).view,
            bias.as_ref().map(|bias| &bias.view),
            self.stride,
            self.padding,
            &output.view,
        )
        .unwrap();
        let what = format!("{} {:?} {:?}", dtype.name(), self.input, kernel);
        assert_near(&what, &output.back(), &expected, 2.0 * rounding(dtype), 1e-4);
    }
}

#[test]
fn sums_are_those_of_the_cpu_in_another_order() {
    let gpu = gpu();
    for dtype in FLOATS {
        for case in &CASES {
            case.check(&gpu, dtype);
        }
    }
}

#[test]
fn a_weight_of_one_tap_in_whole_vectors_is_taken_as_it_is() {
    let gpu = gpu();
    let in_order = |shape: &[usize]| {
        let weight = HostTensor::random(DType::BFloat16, shape, 1).on(&gpu);
        taps_first(&gpu, &weight.view).unwrap().is_none()
    };
    assert!(in_order(&[5, 32, 1, 1, 1]));
    assert!(!in_order(&[5, 33, 1, 1, 1]));
    assert!(!in_order(&[5, 32, 1, 2, 1]));
}

#[test]
fn memory_for_the_ordered_weight_is_given_back() {
    let gpu = gpu();
    let before = gpu.device().held_memory();
    CASES[0].check(&gpu, DType::BFloat16);
    assert_eq!(gpu.device().held_memory(), before);
}
