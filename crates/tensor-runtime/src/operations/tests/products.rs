use super::values::*;
use crate::operations::*;
use crate::{DType, ErrorCode, InstructionSet, Stream, Tensor};
use cpu_kernels::attention::MAX_HEAD_SIZE;

fn stream() -> Stream {
    Stream::new(2, InstructionSet::detect())
}

#[test]
fn linear_takes_any_leading_dimensions_and_layout() {
    for dtype in FLOATS {
        for leading in [&[][..], &[5], &[2, 3], &[2, 1, 3], &[0, 2]] {
            let stream = stream();
            let shape = [leading, &[19]].concat();
            let (input, held) = random(dtype, &shape, 1, 1.0);
            let (weight, weights) = random(dtype, &[7, 19], 2, 1.0);
            let (bias, biases) = random(dtype, &[7], 3, 1.0);
            let product = |input: &Tensor, weight: &Tensor, bias: &Tensor| {
                linear(&stream, input, weight, Some(bias), Activation::None).unwrap()
            };
            let result = product(&input, &weight, &bias);
            assert_eq!(result.shape(), [leading, &[7]].concat());
            let rows: usize = leading.iter().product();
            let expected: Vec<f64> = (0..rows * 7)
                .map(|place| {
                    let (row, column) = (&held[place / 7 * 19..][..19], place % 7);
                    let weights = &weights[column * 19..][..19];
                    biases[column] + row.iter().zip(weights).map(|(x, w)| x * w).sum::<f64>()
                })
                .collect();
            // Twenty terms of at most 1.
            assert_rounded(dtype, &values(&stream, &result), &expected, 20.0, 20.0);
            let bytes = stream.read_blocking(result).unwrap();
            for layout in 0..if leading.is_empty() { 1 } else { 3 } {
                let view = |tensor: &Tensor| layouts(&stream, tensor).swap_remove(layout);
                let result = product(&view(&input), &view(&weight), &view(&bias));
                assert_eq!(stream.read_blocking(result).unwrap(), bytes);
            }
        }
    }
}

#[test]
fn linear_with_an_activation_is_the_two_operations() {
    let stream = stream();
    for dtype in FLOATS {
        let (input, _) = random(dtype, &[9, 40], 1, 1.0);
        let (weight, _) = random(dtype, &[33, 40], 2, 1.0);
        for kind in Activation::ALL {
            let plain = linear(&stream, &input, &weight, None, Activation::None).unwrap();
            let plain = activation(&stream, kind, &plain).unwrap();
            let fused = linear(&stream, &input, &weight, None, kind).unwrap();
            assert_eq!(stream.read_blocking(fused).unwrap(), stream.read_blocking(plain).unwrap());
        }
    }
}

#[test]
fn linear_refuses_what_doesnt_fit() {
    let stream = stream();
    let make = |dtype, shape: &[usize]| random(dtype, shape, 1, 1.0).0;
    let input = make(DType::Float32, &[2, 4]);
    let weight = make(DType::Float32, &[3, 4]);
    let refuse = |input: &Tensor, weight: &Tensor, bias: Option<&Tensor>, code, argument| {
        let result = linear(&stream, input, weight, bias, Activation::None);
        assert_refused(result, code, "linear", argument);
    };
    refuse(&make(DType::Int32, &[2, 4]), &weight, None, ErrorCode::DType, "input");
    refuse(&make(DType::Float32, &[]), &weight, None, ErrorCode::Shape, "input");
    refuse(&input, &make(DType::BFloat16, &[3, 4]), None, ErrorCode::DType, "weight");
    refuse(&input, &make(DType::Float32, &[3, 5]), None, ErrorCode::Shape, "weight");
    refuse(&input, &make(DType::Float32, &[4]), None, ErrorCode::Shape, "weight");
    let bias = make(DType::Float32, &[4]);
    refuse(&input, &weight, Some(&bias), ErrorCode::Shape, "bias");
    let bias = make(DType::Float16, &[3]);
    refuse(&input, &weight, Some(&bias), ErrorCode::DType, "bias");
}

#[test]
fn conv3d_pads_and_steps() {
    let stream = stream();
    let (stride, padding) = ([1, 2, 2], [[2, 0], [0, 1], [1, 1]]);
    for dtype in FLOATS {
        let (input, held) = random(dtype, &[2, 3, 5, 4, 3], 1, 1.0);
        let (weight, weights) = random(dtype, &[4, 3, 3, 2, 3], 2, 1.0);
        let (bias, biases) = random(dtype, &[4], 3, 1.0);
        let convolve = |input: &Tensor, weight: &Tensor, bias: &Tensor| {
            conv3d(&stream, input, weight, Some(bias), stride, padding).unwrap()
        };
        let result = convolve(&input, &weight, &bias);
        assert_eq!(result.shape(), &[2, 3, 3, 2, 4]);
        let mut expected = Vec::new();
        for place in 0..36 {
            let (b, t, h, w) = (place / 18, place / 6 % 3, place / 2 % 3, place % 2);
            for (o, bias) in biases.iter().enumerate() {
                let mut sum = *bias;
                for tap in 0..54 {
                    let (c, kt, kh, kw) = (tap / 18, tap / 6 % 3, tap / 3 % 2, tap % 3);
                    let (t, h, w) = (t + kt, 2 * h + kh, 2 * w + kw);
                    // In padded coordinates the input begins behind two frames and one column.
                    if (2..5).contains(&t) && h < 5 && (1..5).contains(&w) {
                        let from = (((b * 3 + t - 2) * 5 + h) * 4 + w - 1) * 3 + c;
                        sum += held[from] * weights[o * 54 + tap];
                    }
                }
                expected.push(sum);
            }
        }
        assert_rounded(dtype, &values(&stream, &result), &expected, 55.0, 55.0);
        let bytes = stream.read_blocking(result).unwrap();
        for layout in 0..3 {
            let view = |tensor: &Tensor| layouts(&stream, tensor).swap_remove(layout);
            let result = convolve(&view(&input), &view(&weight), &view(&bias));
            assert_eq!(stream.read_blocking(result).unwrap(), bytes);
        }
    }
}

#[test]
fn conv3d_refuses_what_doesnt_fit() {
    let stream = stream();
    let make = |dtype, shape: &[usize]| random(dtype, shape, 1, 1.0).0;
    let single = DType::Float32;
    let input = make(single, &[1, 2, 3, 3, 2]);
    let weight = make(single, &[4, 2, 1, 3, 3]);
    let none = [[0, 0]; 3];
    let refuse = |input: &Tensor, weight: &Tensor, bias: Option<&Tensor>, code, argument| {
        let result = conv3d(&stream, input, weight, bias, [1; 3], none);
        assert_refused(result, code, "conv3d", argument);
    };
    refuse(&make(DType::UInt8, &[1, 2, 3, 3, 2]), &weight, None, ErrorCode::DType, "input");
    refuse(&make(single, &[2, 3, 3, 2]), &weight, None, ErrorCode::Shape, "input");
    refuse(&input, &make(DType::Float16, &[4, 2, 1, 3, 3]), None, ErrorCode::DType, "weight");
    refuse(&input, &make(single, &[4, 2, 3, 3]), None, ErrorCode::Shape, "weight");
    refuse(&input, &make(single, &[4, 3, 1, 3, 3]), None, ErrorCode::Shape, "weight");
    refuse(&input, &make(single, &[4, 2, 3, 3, 3]), None, ErrorCode::Shape, "weight");
    refuse(&input, &make(single, &[4, 2, 0, 3, 3]), None, ErrorCode::Shape, "weight");
    refuse(&input, &weight, Some(&make(single, &[3])), ErrorCode::Shape, "bias");
    refuse(&input, &weight, Some(&make(DType::Float16, &[4])), ErrorCode::DType, "bias");
    let result = conv3d(&stream, &input, &weight, None, [1, 0, 1], none);
    assert_refused(result, ErrorCode::Argument, "conv3d", "stride");
    let huge = [[0, 0], [usize::MAX, 1], [0, 0]];
    let result = conv3d(&stream, &input, &weight, None, [1; 3], huge);
    assert_refused(result, ErrorCode::Argument, "conv3d", "padding");
}

#[test]
fn attention_takes_masks_of_any_broadcast_and_layout() {
    let stream = stream();
    let (batch, queries, keys, heads, size) = (2, 5, 7, 3, 8);
    let scale = 0.4;
    for dtype in FLOATS {
        let (query, q) = random(dtype, &[batch, queries, heads, size], 1, 1.0);
        let (key, k) = random(dtype, &[batch, keys, heads, size], 2, 1.0);
        let (value, v) = random(dtype, &[batch, keys, heads, size], 3, 1.0);
        for mask_shape in [None, Some(&[keys][..]), Some(&[queries, 1]), Some(&[2, 1, 1, keys])] {
            let mask = mask_shape.map(|shape| random(DType::Float32, shape, 4, 2.0).0);
            let whole = [batch, heads, queries, keys];
            let masks = mask.as_ref().map(|mask| values(&stream, &mask.expanded(&whole).unwrap()));
            let run = |query: &Tensor, key: &Tensor, value: &Tensor, mask: Option<&Tensor>, lse| {
                attention(&stream, query, key, value, mask, scale, lse).unwrap()
            };
            let (output, log_sum_exp) = run(&query, &key, &value, mask.as_ref(), true);
            let LogSumExp { rounded, residue } = log_sum_exp.unwrap();
            assert_eq!(output.shape(), query.shape());
            for sums in [&rounded, &residue] {
                assert_eq!(sums.shape(), &[batch, queries, heads]);
            }
            let (mut expected, mut logs) = (Vec::new(), Vec::new());
            for place in 0..batch * queries * heads {
                let (b, s, h) = (place / heads / queries, place / heads % queries, place % heads);
                let row = |held: &[f64], length: usize, s: usize| {
                    held[((b * length + s) * heads + h) * size..][..size].to_vec()
                };
                let query = row(&q, queries, s);
                let weights: Vec<f64> = (0..keys)
                    .map(|key| {
                        let products = query.iter().zip(row(&k, keys, key)).map(|(a, b)| a * b);
                        let at = ((b * heads + h) * queries + s) * keys + key;
                        let mask = masks.as_ref().map_or(0.0, |masks| masks[at]);
                        (products.sum::<f64>() * scale + mask).exp()
                    })
                    .collect();
                let sum: f64 = weights.iter().sum();
                logs.push(sum.ln());
                for channel in 0..size {
                    let weighted = |key: usize| weights[key] * row(&v, keys, key)[channel];
                    expected.push((0..keys).map(weighted).sum::<f64>() / sum);
                }
            }
            // With bfloat16 products the probabilities are rounded too: another step of the type.
            let slack = if dtype == DType::BFloat16 { 2f64.powi(16) } else { 64.0 };
            assert_rounded(dtype, &values(&stream, &output), &expected, slack, 1.0);
            let (rounded, residue) = (values(&stream, &rounded), values(&stream, &residue));
            assert_rounded(DType::Float32, &rounded, &logs, 64.0, 1.0);
            for (rounded, residue) in rounded.into_iter().zip(residue) {
                assert_eq!((rounded + residue) as f32, rounded as f32);
            }
            let bytes = stream.read_blocking(output).unwrap();
            let (alone, nothing) = run(&query, &key, &value, mask.as_ref(), false);
            assert!(nothing.is_none());
            assert_eq!(stream.read_blocking(alone).unwrap(), bytes);
            for layout in 0..3 {
                let view = |tensor: &Tensor| {
                    let mut views = layouts(&stream, tensor);
                    views.swap_remove(layout.min(views.len() - 1))
                };
                let mask = mask.as_ref().map(view);
                let (output, _) =
                    run(&view(&query), &view(&key), &view(&value), mask.as_ref(), false);
                assert_eq!(stream.read_blocking(output).unwrap(), bytes);
            }
        }
    }
}

fn part_of([output, log_sum_exp, residue]: &[Tensor; 3], given: bool) -> PartialAttention<'_> {
    PartialAttention { output, log_sum_exp, residue: given.then_some(residue) }
}

#[test]
fn attention_is_merged_from_parts_of_any_layout() {
    let stream = stream();
    let (queries, heads, size) = (5, 3, 8);
    for dtype in FLOATS {
        let (query, _) = random(dtype, &[2, queries, heads, size], 1, 1.0);
        let (key, _) = random(dtype, &[2, 9, heads, size], 2, 1.0);
        let (value, _) = random(dtype, &[2, 9, heads, size], 3, 1.0);
        let attend = |start, end| {
            let part = |tensor: &Tensor| tensor.sliced(1, start, end).unwrap();
            let (output, sums) =
                attention(&stream, &query, &part(&key), &part(&value), None, 0.4, true).unwrap();
            (output, sums.unwrap())
        };
        let (whole, sums) = attend(0, 9);
        let (wanted, sums) = (values(&stream, &whole), values(&stream, &sums.rounded));
        let (first, first_sums) = attend(0, 4);
        let first = copy(&stream, &first, DType::Float32).unwrap();
        let (second, second_sums) = attend(4, 9);
        // Parts and whole are each rounded to the type, as their probabilities may be.
        let slack = if dtype == DType::Float32 { 64.0 } else { 3.0 * 2f64.powi(16) };
        for residues in [[true, true], [true, false], [false, true], [false, false]] {
            for layout in 0..3 {
                let view = |tensor: &Tensor| {
                    let mut views = layouts(&stream, tensor);
                    views.swap_remove(layout.min(views.len() - 1))
                };
                let [one, other] = [(&first, &first_sums), (&second, &second_sums)]
                    .map(|(output, sums)| [output, &sums.rounded, &sums.residue].map(view));
                let (output, merged) = merge_attention(
                    &stream,
                    part_of(&one, residues[0]),
                    part_of(&other, residues[1]),
                )
                .unwrap();
                assert_eq!(output.dtype(), DType::Float32);
                assert_rounded(dtype, &values(&stream, &output), &wanted, slack, 1.0);
                let (rounded, residue) = (merged.rounded, merged.residue);
                assert_rounded(DType::Float32, &values(&stream, &rounded), &sums, 64.0, 1.0);
                assert_eq!(residue.shape(), rounded.shape());
            }
        }
    }
}

#[test]
fn merging_attention_refuses_what_doesnt_fit() {
    let stream = stream();
    let make = |dtype, shape: &[usize]| random(dtype, shape, 1, 1.0).0;
    let single = DType::Float32;
    let (output, sums) = (make(single, &[1, 4, 2, 8]), make(single, &[1, 4, 2]));
    let good = PartialAttention { output: &output, log_sum_exp: &sums, residue: Some(&sums) };
    let refuse = |first: PartialAttention, second: PartialAttention, code, argument| {
        assert_refused(merge_attention(&stream, first, second), code, "mergeAttention", argument);
    };
    let (shape, dtype) = (ErrorCode::Shape, ErrorCode::DType);
    let (flat, halves) = (make(single, &[4, 2, 8]), make(DType::Float16, &[1, 4, 2, 8]));
    let (whole, fewer) = (make(DType::Int32, &[1, 4, 2, 8]), make(single, &[1, 3, 2]));
    let half_sums = make(DType::Float16, &[1, 4, 2]);
    refuse(PartialAttention { output: &flat, ..good }, good, shape, "first");
    refuse(PartialAttention { output: &halves, ..good }, good, dtype, "first");
    refuse(good, PartialAttention { output: &flat, ..good }, shape, "second");
    refuse(good, PartialAttention { output: &whole, ..good }, dtype, "second");
    refuse(PartialAttention { log_sum_exp: &fewer, ..good }, good, shape, "firstLogSumExp");
    refuse(good, PartialAttention { log_sum_exp: &half_sums, ..good }, dtype, "secondLogSumExp");
    let residue = PartialAttention { residue: Some(&half_sums), ..good };
    refuse(residue, good, dtype, "firstLogSumExpResidue");
    let residue = PartialAttention { residue: Some(&fewer), ..good };
    refuse(good, residue, shape, "secondLogSumExpResidue");
}

#[test]
fn attention_refuses_what_doesnt_fit() {
    let stream = stream();
    let make = |dtype, shape: &[usize]| random(dtype, shape, 1, 1.0).0;
    let single = DType::Float32;
    let query = make(single, &[1, 4, 2, 8]);
    let key = make(single, &[1, 6, 2, 8]);
    let refuse =
        |query: &Tensor, key: &Tensor, value: &Tensor, mask: Option<&Tensor>, code, argument| {
            let result = attention(&stream, query, key, value, mask, 1.0, false);
            assert_refused(result, code, "attention", argument);
        };
    let (shape, dtype) = (ErrorCode::Shape, ErrorCode::DType);
    refuse(&make(single, &[4, 2, 8]), &key, &key, None, shape, "query");
    refuse(&make(single, &[1, 4, 2, MAX_HEAD_SIZE + 1]), &key, &key, None, shape, "query");
    refuse(&make(single, &[1, 4, 2, 0]), &key, &key, None, shape, "query");
    refuse(&make(DType::Int32, &[1, 4, 2, 8]), &key, &key, None, dtype, "query");
    for wrong in [&[2, 6, 2, 8][..], &[1, 6, 3, 8], &[1, 6, 2, 9], &[1, 6, 2], &[]] {
        refuse(&query, &make(single, wrong), &key, None, shape, "key");
    }
    refuse(&query, &key, &make(single, &[1, 5, 2, 8]), None, shape, "value");
    refuse(&query, &make(DType::Float16, &[1, 6, 2, 8]), &key, None, dtype, "key");
    refuse(&query, &key, &make(DType::Float16, &[1, 6, 2, 8]), None, dtype, "value");
    refuse(&query, &key, &key, Some(&make(DType::Float16, &[4, 6])), dtype, "mask");
    refuse(&query, &key, &key, Some(&make(single, &[4, 5])), shape, "mask");
    refuse(&query, &key, &key, Some(&make(single, &[1, 1, 1, 4, 6])), shape, "mask");
    for scale in [f64::NAN, f64::INFINITY] {
        let result = attention(&stream, &query, &key, &key, None, scale, false);
        assert_refused(result, ErrorCode::Argument, "attention", "scale");
    }
}

#[test]
fn attention_to_pieces_takes_any_layout_and_refuses_what_doesnt_fit() {
    let stream = stream();
    let single = DType::Float32;
    for dtype in FLOATS {
        let block = keys_of_attention_block(&stream, dtype);
        let keys = block + 30;
        let query = random(dtype, &[2, 5, 3, 8], 1, 1.0).0;
        let [key, value] = [2, 3].map(|seed| random(dtype, &[2, keys, 3, 8], seed, 1.0).0);
        let (whole, _) = attention(&stream, &query, &key, &value, None, 0.4, false).unwrap();
        let bytes = stream.read_blocking(whole).unwrap();
        for layout in 0..3 {
            let view = |tensor: Tensor| {
                let mut views = layouts(&stream, &tensor);
                views.swap_remove(layout.min(views.len() - 1))
            };
            let part = |start, end| {
                [&key, &value].map(|tensor| view(tensor.sliced(1, start, end).unwrap()))
            };
            let [first, rest, last] =
                [part(0, block + 9), part(block, block + 9), part(block + 9, keys)];
            let step =
                |left: Option<&[Tensor; 2]>, piece: &[Tensor; 2], carried: Option<&Tensor>, end| {
                    let of = |[key, value]: &'_ [Tensor; 2]| (key.clone(), value.clone());
                    let (key, value) = of(piece);
                    let left = left.map(of);
                    attention_piece(
                        &stream,
                        &view(query.clone()),
                        left.as_ref().map(|(key, value)| KeyPiece { key, value }),
                        KeyPiece { key: &key, value: &value },
                        carried,
                        0.4,
                        end,
                    )
                };
            let finish = PieceEnd::Finish { with_log_sum_exp: true };
            let PieceOutput::Carried(sums) = step(None, &first, None, PieceEnd::Carry).unwrap()
            else {
                panic!("more keys follow");
            };
            let PieceOutput::Attended(output, Some(_)) =
                step(Some(&rest), &last, Some(&sums), finish).unwrap()
            else {
                panic!("these were the last, with their log-sum-exp");
            };
            assert_eq!(stream.read_blocking(output).unwrap(), bytes);
            let refuse = |result, code, argument| {
                assert_refused(result, code, "attentionPiece", argument);
            };
            refuse(step(Some(&first), &last, None, finish), ErrorCode::Argument, "left");
            let short = sums.sliced(3, 0, 8).unwrap();
            refuse(step(None, &last, Some(&short), finish), ErrorCode::Shape, "carried");
            let narrow = random(DType::Float16, sums.shape(), 4, 1.0).0;
            refuse(step(None, &last, Some(&narrow), finish), ErrorCode::DType, "carried");
            let other = [first[0].clone(), random(single, &[2, 5, 3, 9], 5, 1.0).0];
            let code = if dtype == single { ErrorCode::Shape } else { ErrorCode::DType };
            refuse(step(None, &other, None, finish), code, "value");
        }
    }
}
