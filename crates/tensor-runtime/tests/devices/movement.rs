//! Copies, conversions and arithmetic element by element.

use crate::both;
use crate::compare::{Distance, FLOATS, LIES, Lie};
use tensor_runtime::operations::{self, Activation, BinaryOperation};
use tensor_runtime::{DType, Tensor};

const SHAPES: [&[usize]; 5] = [&[], &[1], &[7, 0, 3], &[3, 5, 33], &[2, 1, 4, 130]];

#[test]
fn copies_and_conversions() {
    let both = both();
    for from in DType::ALL {
        for to in DType::ALL {
            for shape in SHAPES {
                for lie in LIES {
                    let reach = if from == DType::UInt8 { 0.0 } else { 100.0 };
                    let input = both.random(from, shape, reach, lie);
                    let what = format!("{from:?} to {to:?} of {shape:?}, {lie:?}");
                    both.agree(&what, Distance::Same, &[&input], |stream, inputs| {
                        Ok(vec![operations::copy(stream, &inputs[0], to)?])
                    });
                }
            }
        }
    }
}

#[test]
fn numbers_that_are_not_finite_keep_their_kind() {
    let both = both();
    let values =
        [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 1e-42, 3.4e38, 65519.0, 65520.0, 1e-8];
    for from in FLOATS {
        for to in FLOATS {
            let input = both.of(from, &[values.len()], &values);
            let what = format!("{from:?} to {to:?}");
            both.agree(&what, Distance::Rounded(0.0), &[&input], |stream, inputs| {
                Ok(vec![operations::copy(stream, &inputs[0], to)?])
            });
        }
    }
}

#[test]
fn moves() {
    let both = both();
    for dtype in [DType::Float32, DType::BFloat16, DType::UInt8, DType::Int64] {
        for lie in LIES {
            let reach = if dtype == DType::UInt8 { 0.0 } else { 50.0 };
            let first = both.random(dtype, &[2, 3, 5], reach, lie);
            let second = both.random(dtype, &[2, 4, 5], reach, Lie::Plain);
            let what = format!("{dtype:?}, {lie:?}");
            both.agree(&what, Distance::Same, &[&first, &second], |stream, inputs| {
                let padding = [[1, 0], [0, 2], [3, 1]];
                Ok(vec![
                    operations::concatenate(stream, inputs, 1)?,
                    operations::pad(stream, &inputs[0], &padding)?,
                ])
            });
            let frames = both.random(dtype, &[1, 2, 3, 4, 5], reach, lie);
            both.agree(&what, Distance::Same, &[&frames], |stream, inputs| {
                Ok(vec![
                    operations::upsample_nearest(stream, &inputs[0], 2)?,
                    operations::upsample_nearest(stream, &inputs[0], 3)?,
                ])
            });
        }
    }
    for dtype in DType::ALL {
        for value in [0.0, 1.0, 77.0] {
            for shape in SHAPES {
                both.agree(
                    &format!("fill {dtype:?} {shape:?}"),
                    Distance::Same,
                    &[&both.of(dtype, &[0], &[])],
                    |stream, inputs| {
                        let device = inputs[0].device();
                        Ok(vec![operations::fill_on(stream, device, dtype, shape, value)?])
                    },
                );
            }
        }
    }
}

#[test]
fn arithmetic() {
    use BinaryOperation::{Add, Divide, Maximum, Minimum, Multiply, Subtract};
    let both = both();
    let shapes: [(&[usize], &[usize]); 5] = [
        (&[3, 5], &[3, 5]),
        (&[4, 1, 33], &[7, 1]),
        (&[], &[130]),
        (&[2, 3, 0], &[3, 1]),
        (&[513], &[1]),
    ];
    for dtype in DType::ALL {
        for operation in [Add, Subtract, Multiply, Divide, Maximum, Minimum] {
            if operation == Divide && !dtype.is_float() {
                continue;
            }
            for (left, right) in shapes {
                for lie in LIES {
                    let reach = if dtype == DType::UInt8 { 0.0 } else { 90.0 };
                    let pair = [
                        both.random(dtype, left, reach, lie),
                        both.random(dtype, right, reach + 1.0, lie),
                    ];
                    let what = format!("{operation:?} of {dtype:?} {left:?} {right:?}, {lie:?}");
                    both.agree(
                        &what,
                        Distance::Rounded(1.0),
                        &[&pair[0], &pair[1]],
                        |stream, inputs| {
                            Ok(vec![
                                operations::binary(stream, operation, &inputs[0], &inputs[1])?,
                                operations::binary_scalar(stream, operation, &inputs[0], 3.0)?,
                            ])
                        },
                    );
                }
            }
        }
    }
}

#[test]
fn arithmetic_with_numbers_that_are_not_finite() {
    use BinaryOperation::{Add, Divide, Maximum, Minimum, Multiply, Subtract};
    let both = both();
    let special = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, 1.5];
    let pairs: Vec<(f64, f64)> =
        special.iter().flat_map(|&left| special.iter().map(move |&right| (left, right))).collect();
    let (left, right): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
    for dtype in FLOATS {
        let inputs = [both.of(dtype, &[left.len()], &left), both.of(dtype, &[right.len()], &right)];
        for operation in [Add, Subtract, Multiply, Divide, Maximum, Minimum] {
            let what = format!("{operation:?} of {dtype:?}");
            both.agree(
                &what,
                Distance::Rounded(0.0),
                &[&inputs[0], &inputs[1]],
                |stream, inputs| {
                    Ok(vec![operations::binary(stream, operation, &inputs[0], &inputs[1])?])
                },
            );
        }
        both.agree("clamp and finite", Distance::Rounded(0.0), &[&inputs[0]], |stream, inputs| {
            Ok(vec![
                operations::clamp(stream, &inputs[0], -1.0, 1.25)?,
                operations::clamp(stream, &inputs[0], f64::NEG_INFINITY, 0.5)?,
                operations::all_finite(stream, &inputs[0])?,
            ])
        });
    }
}

#[test]
fn activations() {
    use Activation::{Gelu, GeluTanh, None, QuickGelu, Silu};
    let both = both();
    for dtype in FLOATS {
        for kind in [None, Silu, Gelu, GeluTanh, QuickGelu] {
            for lie in LIES {
                let input = both.random(dtype, &[3, 7, 41], 12.0, lie);
                let what = format!("{kind:?} of {dtype:?}, {lie:?}");
                both.agree(&what, Distance::Rounded(4.0), &[&input], |stream, inputs| {
                    Ok(vec![operations::activation(stream, kind, &inputs[0])?])
                });
            }
        }
    }
}

#[test]
fn sums_and_questions() {
    let both = both();
    for count in [1, 2, 33, 4097] {
        for lie in LIES {
            let terms = [1, 2, 3].map(|at| both.random(DType::Float32, &[count, at], 9.0, lie));
            both.agree(
                &format!("weighted sum of {count}"),
                Distance::Rounded(2.0),
                &[&terms[2], &terms[2]],
                |stream, inputs| {
                    Ok(vec![operations::weighted_sum(stream, inputs, &[0.3, -1.7e3])?])
                },
            );
            both.agree(
                &format!("mean of {count}"),
                Distance::Rounded(64.0),
                &[&terms[1]],
                |stream, inputs| Ok(vec![operations::mean(stream, &inputs[0])?]),
            );
            both.agree("finite", Distance::Same, &[&terms[0]], |stream, inputs| {
                Ok(vec![operations::all_finite(stream, &inputs[0])?])
            });
        }
    }
}

#[test]
fn embeddings() {
    let both = both();
    for dtype in [DType::Float32, DType::BFloat16, DType::UInt8] {
        for index in [DType::Int32, DType::Int64] {
            for lie in [Lie::Plain, Lie::Part] {
                let reach = if dtype == DType::UInt8 { 0.0 } else { 5.0 };
                let table = both.random(dtype, &[11, 37], reach, lie);
                let indices = both.of(index, &[2, 3], &[0.0, 10.0, 5.0, 5.0, 1.0, 9.0]);
                both.agree("embedding", Distance::Same, &[&table, &indices], |stream, inputs| {
                    Ok(vec![operations::embedding(stream, &inputs[0], &inputs[1])?])
                });
            }
        }
    }
    let table = both.random(DType::Float32, &[4, 2], 1.0, Lie::Plain).there;
    for wrong in [4.0, -1.0] {
        let indices = both.of(DType::Int64, &[2], &[0.0, wrong]).there;
        let result: Tensor = operations::embedding(both.stream, &table, &indices).unwrap();
        let error = both.stream.read_blocking(result).unwrap_err();
        assert_eq!(error.argument, "indices");
        assert_eq!(error.found, format!("{wrong}"));
    }
}
