use super::values::*;
use crate::operations::*;
use crate::{DType, ErrorCode, InstructionSet, Storage, Stream, Tensor};

fn stream() -> Stream {
    Stream::new(2, InstructionSet::detect())
}

/// Cosines and sines (batch, length, pairs) of angles without a pattern.
fn angles(batch: usize, length: usize, pairs: usize) -> [(Tensor, Vec<f64>); 2] {
    let angles = noise(9, batch * length * pairs, 100.0);
    [f64::cos, f64::sin].map(|function| {
        let held: Vec<f64> =
            angles.iter().map(|&angle| f64::from(function(angle) as f32)).collect();
        (tensor(DType::Float32, &[batch, length, pairs], &held), held)
    })
}

#[test]
fn rotates_pairs_in_float32_rounded_once() {
    let stream = stream();
    for dtype in FLOATS {
        for (batch, length, heads, size) in
            [(2, 5, 3, 12), (1, 7, 2, 128), (3, 1, 1, 2), (2, 4, 3, 34)]
        {
            for angle_batch in [1, batch] {
                let shape = [batch, length, heads, size];
                let (input, held) = random(dtype, &shape, 1, 3.0);
                let [(cos, cosines), (sin, sines)] = angles(angle_batch, length, size / 2);
                let bytes = same_everywhere(|s| rotary(s, &input, &cos, &sin).unwrap());
                let mut expected = Vec::new();
                for (pair, x) in held.chunks(2).enumerate() {
                    let row = pair / (size / 2) / heads;
                    let row = if angle_batch == 1 { row % length } else { row };
                    let place = row * (size / 2) + pair % (size / 2);
                    let [x0, x1, cos, sin] =
                        [x[0], x[1], cosines[place], sines[place]].map(|x| x as f32);
                    expected.push(f64::from(x0 * cos - x1 * sin));
                    expected.push(f64::from(x0 * sin + x1 * cos));
                }
                let expected = tensor(dtype, &shape, &expected);
                assert_eq!(bytes, stream.read_blocking(expected).unwrap());
                for layout in 0..3 {
                    let view = |tensor: &Tensor| layouts(&stream, tensor).swap_remove(layout);
                    let turned = rotary(&stream, &view(&input), &view(&cos), &view(&sin)).unwrap();
                    assert_eq!(stream.read_blocking(turned).unwrap(), bytes);
                }
            }
        }
    }
}

#[test]
fn rms_norm_rotary_is_the_two_operations() {
    for dtype in FLOATS {
        for (batch, length, heads, size) in
            [(2, 5, 3, 12), (1, 7, 12, 128), (2, 1, 1, 2), (1, 3, 5, 18)]
        {
            let channels = heads * size;
            let (input, _) = random(dtype, &[batch, length, channels], 1, 9.0);
            let (weight, _) = random(dtype, &[channels], 2, 2.0);
            let [(cos, _), (sin, _)] = angles(1, length, size / 2);
            let fused = |s: &Stream, input: &Tensor, weight: &Tensor| {
                rms_norm_rotary(s, input, weight, &cos, &sin, heads, 1e-6).unwrap()
            };
            let bytes = same_everywhere(|s| fused(s, &input, &weight));
            let stream = stream();
            let options = RmsNormOptions {
                weight: Some(weight.clone()),
                epsilon: 1e-6,
                round_before_weight: false,
            };
            let plain = rms_norm(&stream, &input, options).unwrap();
            let plain = plain.reshaped(&[batch, length, heads, size]).unwrap().unwrap();
            let plain = rotary(&stream, &plain, &cos, &sin).unwrap();
            assert_eq!(stream.read_blocking(plain).unwrap(), bytes);
            for layout in 0..3 {
                let view = |tensor: &Tensor| layouts(&stream, tensor).swap_remove(layout);
                let result = fused(&stream, &view(&input), &view(&weight));
                assert_eq!(result.shape(), &[batch, length, heads, size]);
                assert_eq!(stream.read_blocking(result).unwrap(), bytes);
            }
        }
    }
}

#[test]
fn empty_sequences_and_no_heads() {
    let stream = stream();
    let [(cos, _), (sin, _)] = angles(1, 0, 4);
    let input = Tensor::new(Storage::copied(&[]).unwrap(), DType::Float32, &[2, 0, 3, 8]).unwrap();
    assert_eq!(rotary(&stream, &input, &cos, &sin).unwrap().shape(), &[2, 0, 3, 8]);
    let input = Tensor::new(Storage::copied(&[]).unwrap(), DType::Float32, &[2, 0, 24]).unwrap();
    let weight = tensor(DType::Float32, &[24], &[1.0; 24]);
    let turned = rms_norm_rotary(&stream, &input, &weight, &cos, &sin, 3, 1e-6).unwrap();
    assert!(stream.read_blocking(turned).unwrap().is_empty());
}

#[test]
fn rotary_refuses_what_doesnt_fit() {
    let stream = stream();
    let name = "rotary";
    let input = random(DType::Float32, &[2, 3, 2, 8], 1, 1.0).0;
    let [(cos, _), (sin, _)] = angles(1, 3, 4);
    let turn = |input: &Tensor, cos: &Tensor, sin: &Tensor| rotary(&stream, input, cos, sin);
    for shape in [&[2, 3, 8][..], &[2, 3, 2, 7]] {
        let other = random(DType::Float32, shape, 1, 1.0).0;
        assert_refused(turn(&other, &cos, &sin), ErrorCode::Shape, name, "input");
    }
    let whole = random(DType::Int32, &[2, 3, 2, 8], 1, 1.0).0;
    assert_refused(turn(&whole, &cos, &sin), ErrorCode::DType, name, "input");
    let halves = random(DType::Float16, &[1, 3, 4], 1, 1.0).0;
    assert_refused(turn(&input, &halves, &sin), ErrorCode::DType, name, "cos");
    for shape in [[3, 3, 4], [1, 2, 4], [1, 3, 8]] {
        let [(cos_of_another, _), (sin_of_another, _)] = angles(shape[0], shape[1], shape[2]);
        assert_refused(turn(&input, &cos_of_another, &sin), ErrorCode::Shape, name, "cos");
        assert_refused(turn(&input, &cos, &sin_of_another), ErrorCode::Shape, name, "sin");
    }

    let name = "rmsNormRotary";
    let rows = random(DType::Float32, &[2, 3, 16], 1, 1.0).0;
    let weight = random(DType::Float32, &[16], 1, 1.0).0;
    let fused = |input: &Tensor, weight: &Tensor, heads, epsilon| {
        rms_norm_rotary(&stream, input, weight, &cos, &sin, heads, epsilon)
    };
    assert!(fused(&rows, &weight, 2, 0.0).is_ok());
    assert_refused(fused(&input, &weight, 2, 0.0), ErrorCode::Shape, name, "input");
    assert_refused(fused(&whole, &weight, 2, 0.0), ErrorCode::DType, name, "input");
    for heads in [0, 3, 16] {
        assert_refused(fused(&rows, &weight, heads, 0.0), ErrorCode::Argument, name, "heads");
    }
    assert_refused(fused(&rows, &weight, 1, 0.0), ErrorCode::Shape, name, "cos");
    assert_refused(fused(&rows, &weight, 2, -1.0), ErrorCode::Argument, name, "epsilon");
    let short = random(DType::Float32, &[8], 1, 1.0).0;
    assert_refused(fused(&rows, &short, 2, 0.0), ErrorCode::Shape, name, "weight");
    let other = random(DType::Float16, &[16], 1, 1.0).0;
    assert_refused(fused(&rows, &other, 2, 0.0), ErrorCode::DType, name, "weight");
}
