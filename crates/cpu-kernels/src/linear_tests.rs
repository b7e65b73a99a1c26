//! Tests of the linear layer.

use super::*;
use crate::gemm::testing::{bytes, filled, on_each_set, random, rounding, view, whole};
use crate::{InstructionSet, ThreadPool};

/// Inputs of one call.
struct Case<N: Format> {
    rows: usize,
    channels: usize,
    columns: usize,
    stride: usize,
    input: Vec<N::Element>,
    weight: Vec<N::Element>,
    bias: Option<Vec<N::Element>>,
}

impl<N: Format> Case<N> {
    fn new(rows: usize, channels: usize, columns: usize, padding: usize, bias: bool) -> Case<N> {
        let stride = channels + padding;
        Case {
            rows,
            channels,
            columns,
            stride,
            input: random::<N>(rows * stride, 1),
            weight: random::<N>(columns * channels, 2),
            bias: bias.then(|| random::<N>(columns, 3)),
        }
    }

    /// The output for `count` rows from row `first`.
    fn part(
        &self,
        cpu: &Cpu,
        activation: Activation,
        first: usize,
        count: usize,
    ) -> Vec<N::Element> {
        let input = &self.input[first * self.stride..];
        let input = view::<N>(input, &[count, self.channels], &[self.stride, 1]);
        let weight = whole::<N>(&self.weight, &[self.columns, self.channels]);
        let bias = self.bias.as_ref().map(|bias| whole::<N>(bias, &[self.columns]));
        filled::<N>(&[count, self.columns], |output| {
            linear(cpu, &input, &weight, bias.as_ref(), activation, output);
        })
    }

    fn output(&self, cpu: &Cpu, activation: Activation) -> Vec<N::Element> {
        self.part(cpu, activation, 0, self.rows)
    }

    /// Each sum in double precision, and the sum of its terms' magnitudes.
    fn exact(&self) -> Vec<(f64, f64)> {
        let value = |element| N::widen(element) as f64;
        let mut sums = Vec::new();
        for row in self.input.chunks(self.stride) {
            for (column, weight) in self.weight.chunks(self.channels).enumerate() {
                let bias = self.bias.as_ref().map_or(0.0, |bias| value(bias[column]));
                let (mut sum, mut magnitude) = (bias, bias.abs());
                for (&a, &b) in row.iter().zip(weight) {
                    sum += value(a) * value(b);
                    magnitude += (value(a) * value(b)).abs();
                }
                sums.push((sum, magnitude));
            }
        }
        sums
    }

    /// Compares with double precision: a sum of K products and a bias has K + 1 single-precision
    /// roundings at most of each term, then one to the output's format.
    fn check(&self, cpu: &Cpu) {
        let output = self.output(cpu, Activation::None);
        let sums = self.exact();
        assert_eq!(output.len(), sums.len());
        for (place, (&element, &(sum, magnitude))) in output.iter().zip(&sums).enumerate() {
            let single = (self.channels + 2) as f64 * 2f64.powi(-24) * magnitude;
            let allowed = single + rounding::<N>(sum.abs() + single);
            let error = (N::widen(element) as f64 - sum).abs();
            assert!(
                error <= allowed,
                "{} {} {}x{}x{} at ({}, {}): {} for {sum}, error {error:e} > {allowed:e}",
                cpu.instruction_set.name(),
                N::DTYPE.name(),
                self.rows,
                self.columns,
                self.channels,
                place / self.columns,
                place % self.columns,
                N::widen(element),
            );
        }
    }
}

fn odd_shapes<N: Format>() {
    on_each_set(2, |cpu| {
        for rows in [1, 13, 14, 15, 33] {
            for channels in [1, 3, 31, 257] {
                for columns in [1, 5, 31, 33, 100] {
                    let bias = (rows + columns) % 2 == 0;
                    Case::<N>::new(rows, channels, columns, channels % 5, bias).check(cpu);
                }
            }
        }
    });
}

#[test]
fn odd_shapes_in_single_precision() {
    odd_shapes::<Single>();
}

#[test]
fn odd_shapes_in_bfloat16() {
    odd_shapes::<Brain>();
}

#[test]
fn odd_shapes_in_half_precision() {
    odd_shapes::<Half>();
}

#[test]
fn many_depth_blocks_tasks_and_passes() {
    on_each_set(3, |cpu| {
        Case::<Single>::new(411, 1031, 67, 1, true).check(cpu);
        Case::<Brain>::new(61, 1033, 430, 0, true).check(cpu);
        Case::<Half>::new(200, 515, 199, 3, false).check(cpu);
    });
}

#[test]
fn the_error_of_a_single_precision_product_is_that_of_single_precision() {
    on_each_set(2, |cpu| {
        let case = Case::<Single>::new(32, 1536, 40, 0, false);
        let output = case.output(cpu, Activation::None);
        let (mut error, mut norm) = (0.0, 0.0);
        for (&element, (sum, _)) in output.iter().zip(case.exact()) {
            error += (element as f64 - sum).powi(2);
            norm += sum * sum;
        }
        let relative = (error / norm).sqrt();
        assert!(relative < 1e-6, "{}: {relative:e}", cpu.instruction_set.name());
    });
}

fn rows_are_independent<N: Format>(rows: usize, channels: usize, columns: usize) {
    on_each_set(2, |cpu| {
        let case = Case::<N>::new(rows, channels, columns, 2, true);
        let all = case.output(cpu, Activation::Gelu);
        for (first, count) in [(0, 1), (rows - 1, 1), (3, 14), (5, rows / 2), (1, rows - 1)] {
            let part = case.part(cpu, Activation::Gelu, first, count);
            let same = &all[first * columns..(first + count) * columns];
            assert!(
                bytes(&part) == bytes(same),
                "{} {}: rows {first}..{} of {rows} differ alone",
                cpu.instruction_set.name(),
                N::DTYPE.name(),
                first + count,
            );
        }
    });
}

#[test]
fn a_row_has_the_same_bytes_whatever_the_rows_beside_it() {
    rows_are_independent::<Single>(95, 700, 70);
    rows_are_independent::<Brain>(95, 1101, 70);
    rows_are_independent::<Half>(47, 300, 33);
}

/// Columns by rows of the weight and values of the bias: a panel of any kernel begins and ends
/// elsewhere, and fewer columns are cut into other passes and tasks.
fn columns_are_independent<N: Format>(rows: usize, channels: usize, columns: usize) {
    on_each_set(2, |cpu| {
        let case = Case::<N>::new(rows, channels, columns, 0, true);
        let all = case.output(cpu, Activation::GeluTanh);
        for (first, last) in [(0, 1), (1, 8), (7, 40), (columns / 2, columns), (0, columns - 1)] {
            let part = Case::<N> {
                columns: last - first,
                input: case.input.clone(),
                weight: case.weight[first * channels..last * channels].to_vec(),
                bias: case.bias.as_ref().map(|bias| bias[first..last].to_vec()),
                ..case
            };
            let same: Vec<_> =
                all.chunks(columns).flat_map(|row| row[first..last].to_vec()).collect();
            assert!(
                bytes(&part.output(cpu, Activation::GeluTanh)) == bytes(&same),
                "{} {}: columns {first}..{last} of {columns} differ alone",
                cpu.instruction_set.name(),
                N::DTYPE.name(),
            );
        }
    });
}

#[test]
fn a_column_has_the_same_bytes_whatever_the_columns_beside_it() {
    columns_are_independent::<Single>(23, 700, 95);
    columns_are_independent::<Brain>(23, 1101, 95);
    columns_are_independent::<Half>(1, 300, 95);
    // More columns than rows and the reverse: the other operand is the shared one.
    columns_are_independent::<Brain>(3, 513, 700);
    columns_are_independent::<Single>(300, 257, 41);
}

#[test]
fn the_number_of_threads_does_not_show() {
    fn check<N: Format>() {
        let case = Case::<N>::new(230, 600, 190, 0, true);
        for instruction_set in InstructionSet::available() {
            let outputs: Vec<_> = [1, 2, 3, 7]
                .map(|threads| {
                    let pool = ThreadPool::new(threads);
                    case.output(&Cpu { pool: &pool, instruction_set }, Activation::Silu)
                })
                .into();
            for output in &outputs[1..] {
                assert!(bytes(output) == bytes(&outputs[0]), "{}", instruction_set.name());
            }
        }
    }
    check::<Single>();
    check::<Brain>();
    check::<Half>();
}

#[test]
fn a_fused_activation_is_the_activation_of_the_rounded_product() {
    fn check<N: Format>() {
        on_each_set(2, |cpu| {
            let case = Case::<N>::new(17, 40, 45, 0, true);
            let plain = case.output(cpu, Activation::None);
            for activation in Activation::ALL {
                let separate: Vec<_> = plain
                    .iter()
                    .map(|&element| N::narrow(activation.apply(N::widen(element))))
                    .collect();
                let fused = case.output(cpu, activation);
                assert!(
                    bytes(&fused) == bytes(&separate),
                    "{} {activation:?}",
                    cpu.instruction_set.name()
                );
            }
        });
    }
    check::<Single>();
    check::<Brain>();
    check::<Half>();
}

#[test]
fn one_input_row_may_be_repeated() {
    on_each_set(1, |cpu| {
        let mut case = Case::<Single>::new(20, 50, 9, 0, false);
        let single = case.part(cpu, Activation::None, 0, 1);
        case.stride = 0;
        for row in case.output(cpu, Activation::None).chunks(9) {
            assert_eq!(row, single);
        }
    });
}

#[test]
fn nothing_to_sum_leaves_the_bias() {
    on_each_set(2, |cpu| {
        let case = Case::<Single>::new(3, 0, 5, 0, true);
        let output = case.output(cpu, Activation::None);
        for row in output.chunks(5) {
            assert_eq!(Some(row), case.bias.as_deref());
        }
        assert!(Case::<Single>::new(0, 4, 5, 0, true).output(cpu, Activation::None).is_empty());
    });
}

#[test]
fn infinities_and_nan_stay_in_their_row() {
    on_each_set(2, |cpu| {
        let mut case = Case::<Brain>::new(20, 64, 40, 0, false);
        let clean = case.output(cpu, Activation::None);
        case.input[3 * 64] = Brain::narrow(f32::INFINITY);
        case.input[4 * 64] = Brain::narrow(f32::NAN);
        let output = case.output(cpu, Activation::None);
        for (row, (now, before)) in output.chunks(40).zip(clean.chunks(40)).enumerate() {
            match row {
                3 => assert!(now.iter().all(|&x| !Brain::widen(x).is_finite())),
                4 => assert!(now.iter().all(|&x| Brain::widen(x).is_nan())),
                _ => assert_eq!(now, before),
            }
        }
    });
}

#[test]
#[should_panic(expected = "input rows have 4 elements, weight rows 5")]
fn other_depths_are_refused() {
    let pool = ThreadPool::new(1);
    let cpu = Cpu { pool: &pool, instruction_set: InstructionSet::Portable };
    let (input, weight) = ([0f32; 8], [0f32; 15]);
    filled::<Single>(&[2, 3], |output| {
        let input = whole::<Single>(&input, &[2, 4]);
        let weight = whole::<Single>(&weight, &[3, 5]);
        linear(&cpu, &input, &weight, None, Activation::None, output);
    });
}
