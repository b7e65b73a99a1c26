use super::values::*;
use crate::operations::*;
use crate::{DType, ErrorCode, InstructionSet, Stream};

fn stream() -> Stream {
    Stream::new(2, InstructionSet::detect())
}

#[test]
fn gated_residual_is_float32_rounded_once() {
    let stream = stream();
    for dtype in FLOATS {
        for gate_shape in [&[2, 1, 37][..], &[2, 5, 37], &[37], &[1, 5, 1]] {
            let (residual, residual_values) = random(dtype, &[2, 5, 37], 1, 1e4);
            let (update, update_values) = random(dtype, &[2, 5, 37], 2, 30.0);
            let (gate, _) = random(DType::Float32, gate_shape, 3, 2.0);
            let bytes = same_everywhere(|s| gated_residual(s, &residual, &update, &gate).unwrap());
            let gates = values(&stream, &gate.expanded(&[2, 5, 37]).unwrap());
            let expected: Vec<f64> = (0..370)
                .map(|i| {
                    let gated = update_values[i] as f32 * gates[i] as f32;
                    f64::from(residual_values[i] as f32 + gated)
                })
                .collect();
            let expected = stream.read_blocking(tensor(dtype, &[2, 5, 37], &expected)).unwrap();
            assert_eq!(bytes, expected);
            for residual in layouts(&stream, &residual) {
                for update in layouts(&stream, &update) {
                    let result = gated_residual(&stream, &residual, &update, &gate).unwrap();
                    assert_eq!(bytes, stream.read_blocking(result).unwrap());
                }
            }
        }
    }
}

#[test]
fn gated_residual_is_the_plain_composition_in_float32() {
    let stream = stream();
    let (residual, _) = random(DType::Float32, &[3, 4, 19], 1, 5.0);
    let (update, _) = random(DType::Float32, &[3, 4, 19], 2, 5.0);
    let (gate, _) = random(DType::Float32, &[3, 1, 19], 3, 1.0);
    let product = binary(&stream, BinaryOperation::Multiply, &update, &gate).unwrap();
    let plain = binary(&stream, BinaryOperation::Add, &residual, &product).unwrap();
    let fused = gated_residual(&stream, &residual, &update, &gate).unwrap();
    assert_eq!(stream.read_blocking(fused).unwrap(), stream.read_blocking(plain).unwrap());
}

#[test]
fn gated_residual_refuses_what_doesnt_fit() {
    const NAME: &str = "gatedResidual";
    let stream = stream();
    let [residual, other] = [&[2, 3][..], &[3, 2]].map(|s| random(DType::Float32, s, 1, 1.0).0);
    let halves = random(DType::Float16, &[2, 3], 1, 1.0).0;
    let whole = random(DType::Int32, &[2, 3], 1, 1.0).0;
    let refused = gated_residual(&stream, &whole, &whole, &residual);
    assert_refused(refused, ErrorCode::DType, NAME, "residual");
    let refused = gated_residual(&stream, &residual, &halves, &residual);
    assert_refused(refused, ErrorCode::DType, NAME, "update");
    let refused = gated_residual(&stream, &residual, &other, &residual);
    assert_refused(refused, ErrorCode::Shape, NAME, "update");
    let refused = gated_residual(&stream, &halves, &halves, &halves);
    assert_refused(refused, ErrorCode::DType, NAME, "gate");
    let refused = gated_residual(&stream, &residual, &residual, &other);
    assert_refused(refused, ErrorCode::Shape, NAME, "gate");
}

#[test]
fn weighted_sums_are_rounded_once() {
    let stream = stream();
    for shape in [&[1][..], &[257], &[3, 5, 1001], &[0, 4], &[]] {
        let inputs: Vec<_> = (0..4).map(|i| random(DType::Float32, shape, i, 3.0)).collect();
        let tensors: Vec<_> = inputs.iter().map(|(tensor, _)| tensor.clone()).collect();
        let coefficients = [0.1, -2.5, 1e-3, 7.0];
        let bytes = same_everywhere(|s| weighted_sum(s, &tensors, &coefficients).unwrap());
        let count = shape.iter().product();
        let expected: Vec<f64> =
            (0..count).map(|i| (0..4).map(|n| coefficients[n] * inputs[n].1[i]).sum()).collect();
        let expected = stream.read_blocking(tensor(DType::Float32, shape, &expected)).unwrap();
        assert_eq!(bytes, expected);
        let views: Vec<_> =
            tensors.iter().map(|tensor| layouts(&stream, tensor).swap_remove(0)).collect();
        let viewed = weighted_sum(&stream, &views, &coefficients).unwrap();
        assert_eq!(bytes, stream.read_blocking(viewed).unwrap());
    }
    // Float32 arithmetic would lose the small term between the two large ones.
    let terms = [1e8, 1.0, -1e8].map(|value| tensor(DType::Float32, &[1], &[value]));
    let sum = weighted_sum(&stream, &terms, &[1.0, 0.25, 1.0]).unwrap();
    assert_eq!(values(&stream, &sum), [0.25]);
}

#[test]
fn weighted_sum_refuses_what_doesnt_fit() {
    const NAME: &str = "weightedSum";
    let stream = stream();
    let one = random(DType::Float32, &[2, 3], 1, 1.0).0;
    let other = random(DType::Float32, &[3, 2], 1, 1.0).0;
    let halves = random(DType::BFloat16, &[2, 3], 1, 1.0).0;
    let sum = |tensors: &[_], coefficients: &[f64]| weighted_sum(&stream, tensors, coefficients);
    assert_refused(sum(&[], &[]), ErrorCode::Argument, NAME, "tensors");
    let refused = sum(std::slice::from_ref(&one), &[1.0, 2.0]);
    assert_refused(refused, ErrorCode::Argument, NAME, "coefficients");
    let refused = sum(&[one.clone(), other], &[1.0, 2.0]);
    assert_refused(refused, ErrorCode::Shape, NAME, "tensors[1]");
    assert_refused(sum(&[one, halves], &[1.0, 2.0]), ErrorCode::DType, NAME, "tensors[1]");
}
