//! Tests of the convolution.

use super::*;
use crate::gemm::testing::{bytes, filled, on_each_set, random, rounding, view, whole};
use crate::{InstructionSet, Layout, ThreadPool};

/// Inputs of one convolution.
struct Case<N: Format> {
    /// (B, T, H, W, C).
    shape: [usize; 5],
    strides: Vec<usize>,
    columns: usize,
    kernel: [usize; 3],
    geometry: ConvGeometry,
    input: Vec<N::Element>,
    weight: Vec<N::Element>,
    bias: Option<Vec<N::Element>>,
}

impl<N: Format> Case<N> {
    fn new(
        shape: [usize; 5],
        columns: usize,
        kernel: [usize; 3],
        stride: [usize; 3],
        padding: [[usize; 2]; 3],
    ) -> Case<N> {
        let layout = Layout::contiguous(&shape);
        Case {
            shape,
            columns,
            kernel,
            geometry: ConvGeometry { stride, padding },
            input: random::<N>(layout.count(), 1),
            weight: random::<N>(columns * shape[4] * kernel.iter().product::<usize>(), 2),
            bias: Some(random::<N>(columns, 3)),
            strides: layout.strides,
        }
    }

    fn output_extents(&self) -> [usize; 3] {
        let [_, t, h, w, _] = self.shape;
        self.geometry.output([t, h, w], self.kernel).expect("a kernel that fits")
    }

    fn output(&self, cpu: &Cpu) -> Vec<N::Element> {
        let [t, h, w] = self.output_extents();
        let [kt, kh, kw] = self.kernel;
        let input = view::<N>(&self.input, &self.shape, &self.strides);
        let weight = whole::<N>(&self.weight, &[self.columns, self.shape[4], kt, kh, kw]);
        let bias = self.bias.as_ref().map(|bias| whole::<N>(bias, &[self.columns]));
        filled::<N>(&[self.shape[0], t, h, w, self.columns], |output| {
            conv3d(cpu, &input, &weight, bias.as_ref(), &self.geometry, output);
        })
    }

    /// One output element in double precision, and the sum of its terms' magnitudes.
    fn exact(&self, [entry, t, h, w, column]: [usize; 5]) -> (f64, f64) {
        let value = |element| N::widen(element) as f64;
        let [kt, kh, kw] = self.kernel;
        let channels = self.shape[4];
        let mut sum = self.bias.as_ref().map_or(0.0, |bias| value(bias[column]));
        let mut magnitude = sum.abs();
        for tap in 0..kt * kh * kw {
            let within = [tap / (kh * kw), tap / kw % kh, tap % kw];
            let mut place = entry * self.strides[0];
            let mut inside = true;
            for (dim, at) in [t, h, w].into_iter().enumerate() {
                let at = (at * self.geometry.stride[dim] + within[dim]) as isize
                    - self.geometry.padding[dim][0] as isize;
                inside &= at >= 0 && at < self.shape[dim + 1] as isize;
                place = place.wrapping_add_signed(at * self.strides[dim + 1] as isize);
            }
            if !inside {
                continue;
            }
            for channel in 0..channels {
                let weight = self.weight[(column * channels + channel) * kt * kh * kw + tap];
                let product = value(self.input[place + channel]) * value(weight);
                sum += product;
                magnitude += product.abs();
            }
        }
        (sum, magnitude)
    }

    /// Compares with double precision, within the roundings of a sum of so many terms.
    fn check(&self, cpu: &Cpu) {
        let output = self.output(cpu);
        let [t, h, w] = self.output_extents();
        let terms = self.shape[4] * self.kernel.iter().product::<usize>();
        for (place, &element) in output.iter().enumerate() {
            let (rest, column) = (place / self.columns, place % self.columns);
            let (rest, x) = (rest / w, rest % w);
            let (rest, y) = (rest / h, rest % h);
            let at = [rest / t, rest % t, y, x, column];
            let (sum, magnitude) = self.exact(at);
            let single = (terms + 2) as f64 * 2f64.powi(-24) * magnitude;
            let allowed = single + rounding::<N>(sum.abs() + single);
            let error = (N::widen(element) as f64 - sum).abs();
            assert!(
                error <= allowed,
                "{} {} {:?} kernel {:?} {:?} at {at:?}: {} for {sum}, error {error:e} > {allowed:e}",
                cpu.instruction_set.name(),
                N::DTYPE.name(),
                self.shape,
                self.kernel,
                self.geometry,
                N::widen(element),
            );
        }
    }
}

const CAUSAL: [[usize; 2]; 3] = [[2, 0], [1, 1], [1, 1]];
const NONE: [[usize; 2]; 3] = [[0, 0]; 3];

/// (input shape, output channels, kernel, stride, padding).
type Shapes = ([usize; 5], usize, [usize; 3], [usize; 3], [[usize; 2]; 3]);

const SHAPES: [Shapes; 13] = [
    ([1, 2, 5, 6, 16], 33, [3, 3, 3], [1, 1, 1], CAUSAL),
    ([1, 3, 4, 7, 3], 12, [3, 3, 3], [1, 1, 1], CAUSAL),
    ([2, 1, 6, 5, 17], 32, [1, 3, 3], [1, 1, 1], [[0, 0], [1, 1], [1, 1]]),
    ([1, 2, 7, 6, 12], 20, [1, 3, 3], [1, 2, 2], [[0, 0], [0, 1], [0, 1]]),
    ([1, 5, 3, 4, 24], 24, [3, 1, 1], [2, 1, 1], NONE),
    ([1, 4, 3, 4, 20], 40, [3, 1, 1], [1, 1, 1], [[1, 1], [0, 0], [0, 0]]),
    ([2, 2, 3, 5, 40], 7, [1, 1, 1], [1, 1, 1], NONE),
    ([1, 2, 6, 8, 36], 50, [1, 2, 2], [1, 2, 2], NONE),
    ([1, 1, 1, 1, 5], 3, [3, 3, 3], [1, 1, 1], [[1, 1], [1, 1], [1, 1]]),
    ([1, 3, 5, 9, 1], 5, [2, 3, 4], [2, 3, 2], [[1, 2], [0, 3], [2, 0]]),
    ([1, 2, 3, 3, 2], 4, [3, 3, 3], [1, 1, 1], [[4, 3], [5, 0], [0, 6]]),
    ([1, 2, 4, 5, 96], 35, [3, 3, 3], [1, 1, 1], CAUSAL),
    ([1, 1, 9, 8, 7], 130, [1, 5, 1], [1, 1, 3], [[0, 0], [2, 2], [0, 0]]),
];

fn every_shape<N: Format>() {
    on_each_set(2, |cpu| {
        for (shape, columns, kernel, stride, padding) in SHAPES {
            Case::<N>::new(shape, columns, kernel, stride, padding).check(cpu);
        }
    });
}

#[test]
fn kernels_strides_and_paddings_in_single_precision() {
    every_shape::<Single>();
}

#[test]
fn kernels_strides_and_paddings_in_bfloat16() {
    every_shape::<Brain>();
}

#[test]
fn kernels_strides_and_paddings_in_half_precision() {
    every_shape::<Half>();
}

#[test]
fn outer_dimensions_may_be_strided_and_repeated() {
    fn check<N: Format>() {
        on_each_set(2, |cpu| {
            let mut case = Case::<N>::new([2, 3, 4, 5, 9], 11, [3, 3, 3], [1, 1, 1], CAUSAL);
            // Channels 9 of 12, and one batch entry read twice.
            case.strides = vec![0, 4 * 5 * 12 + 7, 5 * 12, 12, 1];
            case.input = random::<N>(3 * (4 * 5 * 12 + 7), 4);
            case.check(cpu);
        });
    }
    check::<Single>();
    check::<Brain>();
}

#[test]
fn without_a_bias() {
    on_each_set(1, |cpu| {
        let mut case = Case::<Single>::new([1, 1, 4, 4, 8], 6, [1, 3, 3], [1, 1, 1], NONE);
        case.bias = None;
        case.check(cpu);
    });
}

#[test]
fn the_number_of_threads_does_not_show() {
    fn check<N: Format>() {
        let case = Case::<N>::new([1, 3, 13, 17, 40], 50, [3, 3, 3], [1, 1, 1], CAUSAL);
        for instruction_set in InstructionSet::available() {
            let outputs = [1, 2, 5].map(|threads| {
                let pool = ThreadPool::new(threads);
                case.output(&Cpu { pool: &pool, instruction_set })
            });
            for output in &outputs[1..] {
                assert!(bytes(output) == bytes(&outputs[0]), "{}", instruction_set.name());
            }
        }
    }
    check::<Single>();
    check::<Brain>();
}

#[test]
fn a_position_has_the_same_bytes_whatever_lies_beyond_its_kernel() {
    fn check<N: Format>() {
        on_each_set(2, |cpu| {
            // Six frames at once, and each with the two before it alone, as a causal decoder does.
            let (frame, columns) = (7 * 9 * 20, 21);
            let all = Case::<N>::new([1, 6, 7, 9, 20], columns, [3, 3, 3], [1, 1, 1], CAUSAL);
            let output = all.output(cpu);
            let one = 7 * 9 * columns;
            for last in 2..6 {
                let mut part = Case::<N>::new(
                    [1, 3, 7, 9, 20],
                    columns,
                    [3, 3, 3],
                    [1, 1, 1],
                    [[0, 0], [1, 1], [1, 1]],
                );
                part.input = all.input[(last - 2) * frame..(last + 1) * frame].to_vec();
                let same = &output[last * one..(last + 1) * one];
                assert!(bytes(&part.output(cpu)) == bytes(same), "{}", cpu.instruction_set.name());
            }
        });
    }
    check::<Single>();
    check::<Brain>();
}

#[test]
fn a_kernel_of_one_is_a_linear_layer() {
    on_each_set(2, |cpu| {
        let case = Case::<Brain>::new([1, 2, 5, 5, 48], 30, [1, 1, 1], [1, 1, 1], NONE);
        let input = whole::<Brain>(&case.input, &[50, 48]);
        let weight = whole::<Brain>(&case.weight, &[30, 48]);
        let bias = case.bias.as_ref().map(|bias| whole::<Brain>(bias, &[30]));
        let linear = filled::<Brain>(&[50, 30], |output| {
            crate::linear::linear(cpu, &input, &weight, bias.as_ref(), Activation::None, output);
        });
        assert_eq!(case.output(cpu), linear);
    });
}

#[test]
fn output_extents() {
    let geometry = ConvGeometry { stride: [1, 2, 2], padding: [[2, 0], [0, 1], [0, 1]] };
    assert_eq!(geometry.output([4, 60, 104], [3, 3, 3]), Some([4, 30, 52]));
    assert_eq!(geometry.output([1, 1, 104], [3, 3, 3]), None);
    assert_eq!(geometry.output([1, 60, 104], [3, 0, 3]), None);
    let still = ConvGeometry { stride: [0, 1, 1], padding: [[0, 0]; 3] };
    assert_eq!(still.output([1, 1, 1], [1, 1, 1]), None);
}

#[test]
#[should_panic(expected = "conv3d: input has 4 channels, weight 3")]
fn other_channels_are_refused() {
    on_each_set(1, |cpu| {
        let (input, weight) = ([0f32; 4], [0f32; 3]);
        let geometry = ConvGeometry { stride: [1; 3], padding: NONE };
        filled::<Single>(&[1, 1, 1, 1, 1], |output| {
            let input = whole::<Single>(&input, &[1, 1, 1, 1, 4]);
            let weight = whole::<Single>(&weight, &[1, 3, 1, 1, 1]);
            conv3d(cpu, &input, &weight, None, &geometry, output);
        });
    });
}
