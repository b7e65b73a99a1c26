//! Linear layers, convolution and attention.

use crate::both;
use crate::compare::{Distance, FLOATS, LIES, Lie};
use tensor_runtime::operations::{self, Activation, PartialAttention};
use tensor_runtime::{DType, Tensor};

#[test]
fn linear() {
    let both = both();
    let shapes =
        [(1, 1, 1), (3, 5, 7), (17, 33, 40), (130, 70, 64), (64, 200, 129), (5, 16, 0), (0, 4, 8)];
    for dtype in FLOATS {
        for (rows, columns, channels) in shapes {
            for lie in LIES {
                let input = both.random(dtype, &[rows, channels], 2.0, lie);
                let weight = both.random(dtype, &[columns, channels], 1.0, lie);
                let bias = both.random(dtype, &[columns], 1.0, Lie::Plain);
                let what = format!("linear of {dtype:?} ({rows}, {columns}, {channels}), {lie:?}");
                both.agree(
                    &what,
                    Distance::Rounded(64.0),
                    &[&input, &weight, &bias],
                    |stream, inputs| {
                        let layer = |bias: Option<&Tensor>| {
                            let kind = Activation::None;
                            operations::linear(stream, &inputs[0], &inputs[1], bias, kind)
                        };
                        Ok(vec![layer(None)?, layer(Some(&inputs[2]))?])
                    },
                );
            }
        }
        for kind in
            [Activation::Silu, Activation::Gelu, Activation::GeluTanh, Activation::QuickGelu]
        {
            let input = both.random(dtype, &[2, 9, 40], 2.0, Lie::Plain);
            let weight = both.random(dtype, &[24, 40], 0.5, Lie::Plain);
            let bias = both.random(dtype, &[24], 1.0, Lie::Plain);
            // Rounded twice, the first time from another side of a step here and there.
            let distance =
                Distance::Rounded(if dtype == DType::Float32 { 64.0 } else { 2f64.powi(17) });
            both.agree(
                &format!("linear and {kind:?}"),
                distance,
                &[&input, &weight, &bias],
                |stream, inputs| {
                    Ok(vec![operations::linear(
                        stream,
                        &inputs[0],
                        &inputs[1],
                        Some(&inputs[2]),
                        kind,
                    )?])
                },
            );
        }
    }
}

#[test]
fn a_row_of_a_product_does_not_know_its_neighbours() {
    let both = both();
    for dtype in FLOATS {
        let input = both.random(dtype, &[77, 48], 2.0, Lie::Plain).there;
        let weight = both.random(dtype, &[40, 48], 1.0, Lie::Plain).there;
        let rows =
            |tensor: &Tensor, start: usize, end: usize| tensor.sliced(0, start, end).unwrap();
        let product = |input: &Tensor| {
            operations::linear(both.stream, input, &weight, None, Activation::None).unwrap()
        };
        let read = |tensor: Tensor| both.stream.read_blocking(tensor).unwrap();
        let whole = product(&input);
        for (start, end) in [(0, 1), (5, 6), (3, 70), (76, 77)] {
            let alone = read(product(&rows(&input, start, end)));
            assert!(alone == read(rows(&whole, start, end)), "{dtype:?} {start}..{end}");
        }
    }
}

#[test]
fn conv3d() {
    let both = both();
    // Input (T, H, W, C), output channels, kernel, stride, padding.
    type Case = ([usize; 4], usize, [usize; 3], [usize; 3], [[usize; 2]; 3]);
    let none = [[0; 2]; 3];
    let cases: [Case; 8] = [
        ([3, 5, 6, 4], 5, [3, 3, 3], [1, 1, 1], [[2, 0], [1, 1], [1, 1]]),
        ([1, 6, 5, 16], 8, [1, 3, 3], [1, 2, 2], [[0, 0], [0, 1], [0, 1]]),
        ([5, 2, 3, 8], 16, [3, 1, 1], [2, 1, 1], none),
        ([2, 4, 4, 33], 17, [1, 1, 1], [1, 1, 1], none),
        ([1, 3, 3, 3], 96, [3, 3, 3], [1, 1, 1], [[2, 0], [1, 1], [1, 1]]),
        ([2, 8, 8, 12], 40, [1, 2, 2], [1, 2, 2], none),
        ([1, 3, 3, 130], 3, [3, 3, 3], [1, 1, 1], [[2, 2], [1, 1], [1, 1]]),
        ([4, 9, 7, 32], 64, [3, 3, 3], [1, 1, 1], [[0, 0], [1, 1], [1, 1]]),
    ];
    for dtype in FLOATS {
        for (at, (input, outputs, kernel, stride, padding)) in cases.into_iter().enumerate() {
            let lie = LIES[at % LIES.len()];
            let [time, height, width, channels] = input;
            let input = both.random(dtype, &[2, time, height, width, channels], 2.0, lie);
            let weight_shape = [outputs, channels, kernel[0], kernel[1], kernel[2]];
            let weight = both.random(dtype, &weight_shape, 0.5, Lie::Plain);
            let bias = both.random(dtype, &[outputs], 1.0, Lie::Plain);
            let what = format!("conv3d {at} of {dtype:?}, {lie:?}");
            both.agree(
                &what,
                Distance::Rounded(96.0),
                &[&input, &weight, &bias],
                |stream, inputs| {
                    let conv = |bias: Option<&Tensor>| {
                        operations::conv3d(stream, &inputs[0], &inputs[1], bias, stride, padding)
                    };
                    Ok(vec![conv(None)?, conv(Some(&inputs[2]))?])
                },
            );
        }
    }
}

#[test]
fn attention() {
    let both = both();
    // Batch, queries, keys, heads, head size.
    let shapes = [
        (1, 1, 1, 1, 8),
        (2, 7, 13, 3, 16),
        (1, 65, 130, 2, 64),
        (1, 33, 257, 2, 128),
        (1, 20, 9, 1, 40),
        (1, 9, 37, 1, 255),
        (1, 16, 40, 1, 384),
        (1, 3, 0, 2, 32),
        // Whole vectors: many blocks of keys, more tiles of queries than a device has multiprocessors.
        (1, 9, 1100, 1, 128),
        (1, 5, 150, 150, 64),
    ];
    for dtype in FLOATS {
        for (at, (batch, queries, keys, heads, size)) in shapes.into_iter().enumerate() {
            let lie = if at < 8 { LIES[at % LIES.len()] } else { Lie::Plain };
            let query = both.random(dtype, &[batch, queries, heads, size], 2.0, lie);
            let key = both.random(dtype, &[batch, keys, heads, size], 2.0, lie);
            let value = both.random(dtype, &[batch, keys, heads, size], 1.0, lie);
            let mask = both.random(DType::Float32, &[1, heads, queries, keys], 3.0, Lie::Plain);
            let scale = 1.0 / (size as f64).sqrt();
            let what = format!("attention {at} of {dtype:?}, {lie:?}");
            // Probabilities are rounded to 16 bits before the second product.
            let distance =
                Distance::Rounded(if dtype == DType::Float32 { 32.0 } else { 2f64.powi(15) });
            both.agree(&what, distance, &[&query, &key, &value, &mask], |stream, inputs| {
                let [query, key, value, mask] = inputs else { unreachable!() };
                let attend = |mask: Option<&Tensor>, sums| {
                    operations::attention(stream, query, key, value, mask, scale, sums)
                };
                let (plain, _) = attend(None, false)?;
                let (summed, _) = attend(None, true)?;
                let (masked, _) = attend(Some(mask), false)?;
                Ok(vec![plain, summed, masked])
            });
            both.agree(
                &what,
                Distance::Rounded(32.0),
                &[&query, &key, &value, &mask],
                |stream, inputs| {
                    let [query, key, value, mask] = inputs else { unreachable!() };
                    let sums = |mask: Option<&Tensor>| {
                        let found =
                            operations::attention(stream, query, key, value, mask, scale, true)?;
                        Ok(found.1.expect("it is asked for").rounded)
                    };
                    Ok(vec![sums(None)?, sums(Some(mask))?])
                },
            );
        }
    }
}

#[test]
fn parts_of_attention() {
    let both = both();
    for dtype in FLOATS {
        let outputs = [DType::Float32, dtype]
            .map(|dtype| both.random(dtype, &[2, 5, 3, 16], 2.0, Lie::Plain));
        let sums =
            [1.0, 30.0].map(|reach| both.random(DType::Float32, &[2, 5, 3], reach, Lie::Part));
        let inputs = [&outputs[0], &sums[0], &outputs[1], &sums[1]];
        both.agree("merge", Distance::Rounded(2.0), &inputs, |stream, inputs| {
            let part = |at: usize| PartialAttention {
                output: &inputs[at],
                log_sum_exp: &inputs[at + 1],
                residue: None,
            };
            let (output, sums) = operations::merge_attention(stream, part(0), part(2))?;
            Ok(vec![output, sums.rounded])
        });
    }
}
