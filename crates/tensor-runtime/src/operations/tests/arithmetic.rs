use super::values::*;
use crate::operations::*;
use crate::{DType, ErrorCode, Stream};
use cpu_kernels::InstructionSet;

fn stream() -> Stream {
    Stream::new(2, InstructionSet::detect())
}

fn float_result(operation: BinaryOperation, left: f32, right: f32) -> f32 {
    match operation {
        BinaryOperation::Add => left + right,
        BinaryOperation::Subtract => left - right,
        BinaryOperation::Multiply => left * right,
        BinaryOperation::Divide => left / right,
        BinaryOperation::Maximum => left.max(right),
        BinaryOperation::Minimum => left.min(right),
    }
}

/// The values of `right` (any of the broadcast shapes below) at each place of (3, 5, 7).
fn repeated(values: &[f64], shape: &[usize]) -> Vec<f64> {
    let at = |index: [usize; 3]| {
        let skipped = 3 - shape.len();
        shape
            .iter()
            .zip(&index[skipped..])
            .fold(0, |offset, (&size, &i)| offset * size + if size == 1 { 0 } else { i })
    };
    (0..105).map(|place| values[at([place / 35, place / 7 % 5, place % 7])]).collect()
}

#[test]
fn floats_of_every_type_and_broadcast_round_once() {
    let stream = stream();
    for dtype in FLOATS {
        for shape in [&[3, 5, 7][..], &[7], &[5, 1], &[3, 1, 7], &[1, 1, 1], &[]] {
            let (left, left_values) = random(dtype, &[3, 5, 7], 1, 9.0);
            let (right, right_values) = random(dtype, shape, 2, 3.0);
            let right_values = repeated(&right_values, shape);
            for operation in BinaryOperation::ALL {
                let bytes = same_everywhere(|s| binary(s, operation, &left, &right).unwrap());
                let expected: Vec<f64> = left_values
                    .iter()
                    .zip(&right_values)
                    .map(|(l, r)| f64::from(float_result(operation, *l as f32, *r as f32)))
                    .collect();
                let expected = tensor(dtype, &[3, 5, 7], &expected);
                assert_eq!(bytes, stream.read_blocking(expected).unwrap(), "{operation:?}");
                // The other way round, so that the left one is repeated too.
                let turned = binary(&stream, operation, &right, &left).unwrap();
                assert_eq!(turned.shape(), &[3, 5, 7]);
                let expected: Vec<f64> = left_values
                    .iter()
                    .zip(&right_values)
                    .map(|(l, r)| f64::from(float_result(operation, *r as f32, *l as f32)))
                    .collect();
                let expected = tensor(dtype, &[3, 5, 7], &expected);
                assert_eq!(values(&stream, &turned), values(&stream, &expected));
            }
        }
    }
}

#[test]
fn views_give_the_bytes_of_contiguous_tensors() {
    let stream = stream();
    for dtype in DType::ALL {
        let (left, _) = random(dtype, &[6, 4, 33], 3, 90.0);
        let (right, _) = random(dtype, &[6, 4, 33], 4, 90.0);
        let plain = binary(&stream, BinaryOperation::Subtract, &left, &right).unwrap();
        let plain = stream.read_blocking(plain).unwrap();
        let clamped = stream.read_blocking(clamp(&stream, &left, 5.0, 40.0).unwrap()).unwrap();
        for left in layouts(&stream, &left) {
            for right in layouts(&stream, &right) {
                let result = binary(&stream, BinaryOperation::Subtract, &left, &right).unwrap();
                assert_eq!(stream.read_blocking(result).unwrap(), plain);
            }
            let result = clamp(&stream, &left, 5.0, 40.0).unwrap();
            assert_eq!(stream.read_blocking(result).unwrap(), clamped);
        }
    }
}

#[test]
fn long_tensors_are_shared_out_over_threads() {
    let (left, left_values) = random(DType::Float32, &[3, 40_001], 5, 1.0);
    let (right, right_values) = random(DType::Float32, &[40_001], 6, 1.0);
    let bytes = same_everywhere(|s| binary(s, BinaryOperation::Add, &left, &right).unwrap());
    for (place, element) in bytes.chunks_exact(4).enumerate() {
        let sum = left_values[place] as f32 + right_values[place % 40_001] as f32;
        assert_eq!(element, sum.to_le_bytes());
    }
}

#[test]
fn integers_wrap_around_and_dont_divide() {
    let stream = stream();
    let large = tensor(DType::Int32, &[2], &[f64::from(i32::MAX), -7.0]);
    let sum = binary_scalar(&stream, BinaryOperation::Add, &large, 1.0).unwrap();
    assert_eq!(values(&stream, &sum), [f64::from(i32::MIN), -6.0]);
    let bytes = tensor(DType::UInt8, &[2], &[3.0, 200.0]);
    let product = binary(&stream, BinaryOperation::Multiply, &bytes, &bytes).unwrap();
    assert_eq!(values(&stream, &product), [9.0, 64.0]);
    let smaller = binary_scalar(&stream, BinaryOperation::Minimum, &bytes, 9.0).unwrap();
    assert_eq!(values(&stream, &smaller), [3.0, 9.0]);
    for dtype in [DType::Int32, DType::Int64, DType::UInt8] {
        let whole = tensor(dtype, &[1], &[4.0]);
        let divided = binary(&stream, BinaryOperation::Divide, &whole, &whole);
        assert_refused(divided, ErrorCode::DType, "divide", "left");
        let divided = binary_scalar(&stream, BinaryOperation::Divide, &whole, 2.0);
        assert_refused(divided, ErrorCode::DType, "divide", "left");
        let halves = binary_scalar(&stream, BinaryOperation::Add, &whole, 0.5);
        assert_refused(halves, ErrorCode::Argument, "add", "right");
    }
}

#[test]
fn a_scalar_is_float32_beside_a_16_bit_tensor() {
    let stream = stream();
    let one = tensor(DType::BFloat16, &[1], &[1.0]);
    // 1 + 2⁻⁸ + 2⁻¹⁶ is above the middle between 1 and the next bfloat16; rounded to bfloat16 first,
    // the scalar would have left the middle itself, which goes to 1.
    let scalar = 2f64.powi(-8) + 2f64.powi(-16);
    let sum = binary_scalar(&stream, BinaryOperation::Add, &one, scalar).unwrap();
    assert_eq!(values(&stream, &sum), [1.0 + 2f64.powi(-7)]);
    for operation in BinaryOperation::ALL {
        let (left, left_values) = random(DType::Float32, &[4, 9], 7, 5.0);
        let turned = left.permuted(&[1, 0]).unwrap();
        let result = binary_scalar(&stream, operation, &turned, 0.1).unwrap();
        let expected = (0..36).map(|place| left_values[place % 4 * 9 + place / 4]);
        let expected: Vec<f64> =
            expected.map(|left| f64::from(float_result(operation, left as f32, 0.1))).collect();
        assert_eq!(values(&stream, &result), expected);
    }
}

#[test]
fn nan_and_infinity_pass_through() {
    let stream = stream();
    let special = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0];
    for dtype in FLOATS {
        let left = tensor(dtype, &[4], &special);
        let one = tensor(dtype, &[1], &[1.0]);
        for operation in [BinaryOperation::Maximum, BinaryOperation::Minimum] {
            for (a, b) in [(&left, &one), (&one, &left)] {
                assert!(values(&stream, &binary(&stream, operation, a, b).unwrap())[0].is_nan());
            }
        }
        let clamped = values(&stream, &clamp(&stream, &left, -2.0, f64::INFINITY).unwrap());
        assert!(clamped[0].is_nan());
        assert_eq!(clamped[1..], [f64::INFINITY, -2.0, 0.0]);
    }
}

#[test]
fn binary_refuses_other_types_and_shapes() {
    let stream = stream();
    let left = tensor(DType::Float32, &[2, 3], &[0.0; 6]);
    let halves = tensor(DType::Float16, &[2, 3], &[0.0; 6]);
    let other = tensor(DType::Float32, &[2], &[0.0; 2]);
    let add = BinaryOperation::Add;
    assert_refused(binary(&stream, add, &left, &halves), ErrorCode::DType, "add", "right");
    assert_refused(binary(&stream, add, &left, &other), ErrorCode::Shape, "add", "right");
    let message = refusal(binary(&stream, add, &left, &other)).to_string();
    assert!(message.contains("[2, 3]") && message.contains("[2]"), "{message}");
    let none = tensor(DType::Float32, &[0, 3], &[]);
    let sum = binary(&stream, add, &none, &tensor(DType::Float32, &[1], &[1.0])).unwrap();
    assert_eq!(sum.shape(), &[0, 3]);
    assert!(values(&stream, &sum).is_empty());
}

#[test]
fn activations_are_computed_in_float32() {
    let stream = stream();
    for dtype in FLOATS {
        let (input, input_values) = random(dtype, &[5, 77], 8, 12.0);
        for kind in Activation::ALL {
            let bytes = same_everywhere(|s| activation(s, kind, &input).unwrap());
            let expected: Vec<f64> =
                input_values.iter().map(|&x| f64::from(kind.apply(x as f32))).collect();
            let expected = tensor(dtype, &[5, 77], &expected);
            assert_eq!(bytes, stream.read_blocking(expected).unwrap());
            for view in layouts(&stream, &input) {
                let result = activation(&stream, kind, &view).unwrap();
                assert_eq!(bytes, stream.read_blocking(result).unwrap());
            }
        }
    }
    let whole = tensor(DType::Int32, &[1], &[1.0]);
    let refused = activation(&stream, Activation::Silu, &whole);
    assert_refused(refused, ErrorCode::DType, "activation", "input");
}

#[test]
fn clamp_refuses_bounds_that_make_no_sense() {
    let stream = stream();
    let input = tensor(DType::Float32, &[3], &[-5.0, 0.0, 5.0]);
    assert_eq!(values(&stream, &clamp(&stream, &input, -1.0, 1.0).unwrap()), [-1.0, 0.0, 1.0]);
    assert_refused(clamp(&stream, &input, 1.0, -1.0), ErrorCode::Argument, "clamp", "high");
    assert_refused(clamp(&stream, &input, f64::NAN, 1.0), ErrorCode::Argument, "clamp", "low");
    assert_refused(clamp(&stream, &input, 0.0, f64::NAN), ErrorCode::Argument, "clamp", "high");
    let bytes = tensor(DType::UInt8, &[2], &[3.0, 200.0]);
    assert_refused(clamp(&stream, &bytes, -1.0, 9.0), ErrorCode::Argument, "clamp", "low");
    assert_refused(clamp(&stream, &bytes, 0.0, 9.5), ErrorCode::Argument, "clamp", "high");
    let open = clamp(&stream, &bytes, f64::NEG_INFINITY, f64::INFINITY).unwrap();
    assert_eq!(values(&stream, &open), [3.0, 200.0]);
}

#[test]
fn all_finite_finds_one_bad_value_anywhere() {
    let stream = stream();
    for dtype in FLOATS {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            for place in [0, 12_345, 69_998] {
                let mut held = vec![1.0; 69_999];
                let good = tensor(dtype, &[3, 23_333], &held);
                assert_eq!(same_everywhere(|s| all_finite(s, &good).unwrap()), [1]);
                held[place] = bad;
                let input = tensor(dtype, &[3, 23_333], &held);
                assert_eq!(same_everywhere(|s| all_finite(s, &input).unwrap()), [0]);
                let turned = input.permuted(&[1, 0]).unwrap();
                assert_eq!(same_everywhere(|s| all_finite(s, &turned).unwrap()), [0]);
            }
        }
    }
    let empty = tensor(DType::Float32, &[0], &[]);
    let whole = tensor(DType::Int64, &[2], &[1.0, 2.0]);
    assert_eq!(values(&stream, &all_finite(&stream, &empty).unwrap()), [1.0]);
    assert_eq!(values(&stream, &all_finite(&stream, &whole).unwrap()), [1.0]);
}
