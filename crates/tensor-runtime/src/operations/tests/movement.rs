use super::values::*;
use crate::operations::*;
use crate::{DType, ErrorCode, InstructionSet, Stream, Tensor};

fn stream() -> Stream {
    Stream::new(2, InstructionSet::detect())
}

/// 0, 1, 2, … in a shape, small enough for every element type.
fn counting(dtype: DType, shape: &[usize]) -> Tensor {
    let count: usize = shape.iter().product();
    let values: Vec<f64> = (0..count).map(|i| (i % 120) as f64).collect();
    tensor(dtype, shape, &values)
}

#[test]
fn copies_keep_the_bytes_whatever_the_layout() {
    let stream = stream();
    for dtype in DType::ALL {
        for shape in [&[][..], &[1], &[7], &[3, 0, 2], &[5, 1, 9], &[2, 3, 4, 5], &[130, 300]] {
            let original = counting(dtype, shape);
            let bytes = stream.read_blocking(original.clone()).unwrap();
            assert_eq!(same_everywhere(|s| copy(s, &original, dtype).unwrap()), bytes);
            for view in layouts(&stream, &original) {
                let copied = copy(&stream, &view, dtype).unwrap();
                assert_eq!(copied.strides(), cpu_kernels::Layout::contiguous(shape).strides);
                assert_eq!(stream.read_blocking(copied).unwrap(), bytes);
            }
        }
        let repeated = counting(dtype, &[3, 1]).expanded(&[2, 3, 4]).unwrap();
        let copied = copy(&stream, &repeated, dtype).unwrap();
        let expected: Vec<f64> = (0..24).map(|i| f64::from(i / 4 % 3)).collect();
        assert_eq!(values(&stream, &copied), expected);
    }
}

#[test]
fn every_order_of_dimensions_is_copied() {
    let stream = stream();
    let shape = [3, 70, 5, 41];
    let held: Vec<f64> = (0..shape.iter().product()).map(|i: usize| i as f64).collect();
    let original = tensor(DType::Int32, &shape, &held);
    for code in 0..256 {
        let dims = [code / 64, code / 16 % 4, code / 4 % 4, code % 4];
        let Ok(view) = original.permuted(&dims) else {
            continue;
        };
        let copied = values(&stream, &copy(&stream, &view, DType::Int32).unwrap());
        let mut place = 0;
        for a in 0..view.shape()[0] {
            for b in 0..view.shape()[1] {
                for c in 0..view.shape()[2] {
                    for d in 0..view.shape()[3] {
                        let index = [a, b, c, d];
                        let from: usize =
                            index.iter().zip(view.strides()).map(|(i, s)| i * s).sum();
                        assert_eq!(copied[place], held[from], "{dims:?} at {index:?}");
                        place += 1;
                    }
                }
            }
        }
    }
}

#[test]
fn casts_round_to_nearest_even_and_integers_lose_the_fraction() {
    let stream = stream();
    let cast = |from: DType, value: f64, to: DType| {
        let cast = copy(&stream, &tensor(from, &[1], &[value]), to).unwrap();
        values(&stream, &cast)[0]
    };
    let single = DType::Float32;
    assert_eq!(cast(single, 1.0 + 2f64.powi(-8), DType::BFloat16), 1.0);
    assert_eq!(cast(single, 1.0 + 3.0 * 2f64.powi(-8), DType::BFloat16), 1.0 + 2f64.powi(-6));
    assert_eq!(cast(single, 70_000.0, DType::Float16), f64::INFINITY);
    assert_eq!(cast(DType::BFloat16, 2f64.powi(-24), DType::Float16), 2f64.powi(-24));
    assert_eq!(cast(single, -2.9, DType::Int32), -2.0);
    assert_eq!(cast(DType::Float16, 2.9, DType::Int64), 2.0);
    assert_eq!(cast(single, 1e20, DType::Int32), f64::from(i32::MAX));
    assert_eq!(cast(single, -1.0, DType::UInt8), 0.0);
    assert_eq!(cast(single, f64::NAN, DType::Int64), 0.0);
    assert_eq!(cast(DType::Int32, 257.0, DType::UInt8), 1.0);
    assert_eq!(cast(DType::Int32, -1.0, DType::Int64), -1.0);
    assert_eq!(cast(DType::Int32, 16_777_217.0, single), 16_777_216.0);
    assert_eq!(cast(DType::UInt8, 255.0, DType::BFloat16), 255.0);
    assert!(cast(DType::Float16, f64::NAN, DType::BFloat16).is_nan());
}

#[test]
fn every_pair_of_types_casts_every_layout() {
    let stream = stream();
    for from in DType::ALL {
        let original = counting(from, &[3, 41, 5]);
        let expected = values(&stream, &original);
        for to in DType::ALL {
            let bytes = same_everywhere(|s| copy(s, &original, to).unwrap());
            assert_eq!(values(&stream, &copy(&stream, &original, to).unwrap()), expected);
            for view in layouts(&stream, &original) {
                let copied = copy(&stream, &view, to).unwrap();
                assert_eq!(stream.read_blocking(copied).unwrap(), bytes);
            }
        }
    }
}

#[test]
fn fill_takes_what_the_type_holds() {
    let stream = stream();
    for dtype in DType::ALL {
        let filled = fill(&stream, dtype, &[3, 70_001], 5.0).unwrap();
        assert!(values(&stream, &filled).iter().all(|&value| value == 5.0));
        assert!(values(&stream, &fill(&stream, dtype, &[0], 1.0).unwrap()).is_empty());
    }
    let negative = fill(&stream, DType::Int64, &[], -9e15).unwrap();
    assert_eq!(values(&stream, &negative), [-9e15]);
    assert!(values(&stream, &fill(&stream, DType::Float16, &[1], f64::NAN).unwrap())[0].is_nan());
    for (dtype, value) in [
        (DType::UInt8, -1.0),
        (DType::UInt8, 256.0),
        (DType::Int32, 0.5),
        (DType::Int32, 2f64.powi(31)),
        (DType::Int64, 2f64.powi(63)),
        (DType::Int64, f64::NAN),
        (DType::Int64, f64::INFINITY),
    ] {
        let refused = fill(&stream, dtype, &[1], value);
        assert_refused(refused, ErrorCode::Argument, "fill", "value");
    }
    let huge = fill(&stream, DType::UInt8, &[1 << 40, 1 << 40], 0.0);
    assert_refused(huge, ErrorCode::Shape, "fill", "shape");
}

#[test]
fn concatenates_along_each_dimension() {
    let stream = stream();
    for dtype in DType::ALL {
        for dim in 0..3 {
            let sizes = [1, 4, 0, 3];
            let parts: Vec<Tensor> = sizes
                .iter()
                .enumerate()
                .map(|(n, &size)| {
                    let mut shape = vec![2, 3, 5];
                    shape[dim] = size;
                    let count: usize = shape.iter().product();
                    let held: Vec<f64> = (0..count).map(|i| (i + 30 * n) as f64).collect();
                    tensor(dtype, &shape, &held)
                })
                .collect();
            let bytes = same_everywhere(|s| concatenate(s, &parts, dim).unwrap());
            let whole = concatenate(&stream, &parts, dim).unwrap();
            assert_eq!(whole.shape()[dim], 8);
            let mut start = 0;
            for (part, size) in parts.iter().zip(sizes) {
                let found = values(&stream, &whole.sliced(dim, start, start + size).unwrap());
                assert_eq!(found, values(&stream, part));
                start += size;
            }
            for layout in 0..3 {
                let views: Vec<_> =
                    parts.iter().map(|part| layouts(&stream, part).swap_remove(layout)).collect();
                let viewed = concatenate(&stream, &views, dim).unwrap();
                assert_eq!(stream.read_blocking(viewed).unwrap(), bytes);
            }
        }
    }
}

#[test]
fn pieces_of_a_whole_are_put_together_without_a_copy() {
    let stream = stream();
    let whole = counting(DType::Float32, &[1, 6, 5]);
    let cut = |ends: &[usize]| -> Vec<Tensor> {
        let starts = [&[0], ends].concat();
        let ends = [ends, &[6]].concat();
        let pieces = starts.iter().zip(ends).map(|(&start, end)| whole.sliced(1, start, end));
        pieces.collect::<Result<_, _>>().unwrap()
    };
    let joined = |pieces: &[Tensor]| concatenate(&stream, pieces, 1).unwrap();
    let is_whole = |tensor: &Tensor| std::sync::Arc::ptr_eq(&tensor.storage, &whole.storage);
    for ends in [&[][..], &[2], &[0, 3, 3, 5]] {
        let found = joined(&cut(ends));
        assert!(is_whole(&found), "{ends:?}");
        assert_eq!(found.shape(), whole.shape());
        assert_eq!(values(&stream, &found), values(&stream, &whole));
    }
    let turned: Vec<Tensor> = cut(&[3]).into_iter().rev().collect();
    let columns = [whole.sliced(2, 0, 2).unwrap(), whole.sliced(2, 2, 5).unwrap()];
    let across = concatenate(&stream, &columns, 2).unwrap();
    for found in [joined(&turned), joined(&cut(&[2])[..1]), across] {
        assert!(!is_whole(&found));
    }
}

#[test]
fn concatenate_refuses_what_doesnt_fit() {
    const NAME: &str = "concatenate";
    let stream = stream();
    let one = counting(DType::Float32, &[2, 3]);
    let join = |other: Tensor, dim| concatenate(&stream, &[one.clone(), other], dim);
    assert_refused(concatenate(&stream, &[], 0), ErrorCode::Argument, NAME, "tensors");
    assert_refused(join(one.clone(), 2), ErrorCode::Argument, NAME, "dim");
    let halves = counting(DType::Float16, &[2, 3]);
    assert_refused(join(halves, 0), ErrorCode::DType, NAME, "tensors[1]");
    for shape in [&[3, 3][..], &[2], &[2, 3, 1]] {
        let other = counting(DType::Float32, shape);
        assert_refused(join(other, 1), ErrorCode::Shape, NAME, "tensors[1]");
    }
}

#[test]
fn pads_with_zeros() {
    let stream = stream();
    for dtype in DType::ALL {
        let input = counting(dtype, &[2, 3, 4]);
        let padding = [[1, 0], [0, 2], [3, 1]];
        let bytes = same_everywhere(|s| pad(s, &input, &padding).unwrap());
        let padded = pad(&stream, &input, &padding).unwrap();
        assert_eq!(padded.shape(), &[3, 5, 8]);
        let mut expected = vec![0.0; 120];
        for i in 0..24 {
            expected[(i / 12 + 1) * 40 + i / 4 % 3 * 8 + i % 4 + 3] = i as f64;
        }
        assert_eq!(values(&stream, &padded), expected);
        for view in layouts(&stream, &input) {
            let padded = pad(&stream, &view, &padding).unwrap();
            assert_eq!(stream.read_blocking(padded).unwrap(), bytes);
        }
    }
    let empty = pad(&stream, &counting(DType::Float32, &[0]), &[[2, 1]]).unwrap();
    assert_eq!(values(&stream, &empty), [0.0; 3]);
    let refused = pad(&stream, &empty, &[[0, 0], [0, 0]]);
    assert_refused(refused, ErrorCode::Argument, "pad", "padding");
    let refused = pad(&stream, &empty, &[[usize::MAX, 1]]);
    assert_refused(refused, ErrorCode::Shape, "pad", "shape");
}

#[test]
fn upsampling_repeats_pixels() {
    let stream = stream();
    for factor in [1, 2, 3] {
        let (input, held) = random(DType::BFloat16, &[2, 2, 3, 5, 7], 1, 4.0);
        let bytes = same_everywhere(|s| upsample_nearest(s, &input, factor).unwrap());
        let larger = upsample_nearest(&stream, &input, factor).unwrap();
        let (height, width) = (3 * factor, 5 * factor);
        assert_eq!(larger.shape(), &[2, 2, height, width, 7]);
        for (place, value) in values(&stream, &larger).into_iter().enumerate() {
            let (channel, pixel) = (place % 7, place / 7);
            let (x, y, frame) = (pixel % width, pixel / width % height, pixel / width / height);
            let from = ((frame * 3 + y / factor) * 5 + x / factor) * 7 + channel;
            assert_eq!(value, held[from]);
        }
        for view in layouts(&stream, &input) {
            let larger = upsample_nearest(&stream, &view, factor).unwrap();
            assert_eq!(stream.read_blocking(larger).unwrap(), bytes);
        }
    }
    let input = counting(DType::Float32, &[1, 1, 1, 1, 1]);
    let refused = upsample_nearest(&stream, &input, 0);
    assert_refused(refused, ErrorCode::Argument, "upsampleNearest", "factor");
    let refused = upsample_nearest(&stream, &counting(DType::Float32, &[1, 2]), 2);
    assert_refused(refused, ErrorCode::Shape, "upsampleNearest", "input");
}

#[test]
fn embedding_gathers_rows() {
    let stream = stream();
    let (table, held) = random(DType::Float16, &[11, 6], 1, 4.0);
    let places = [3.0, 0.0, 10.0, 3.0, 7.0, 1.0];
    for dtype in [DType::Int32, DType::Int64] {
        let indices = tensor(dtype, &[2, 3], &places);
        let bytes = same_everywhere(|s| embedding(s, &table, &indices).unwrap());
        let found = embedding(&stream, &table, &indices).unwrap();
        assert_eq!(found.shape(), &[2, 3, 6]);
        for (row, place) in values(&stream, &found).chunks(6).zip(places) {
            assert_eq!(row, &held[place as usize * 6..][..6]);
        }
        for table in layouts(&stream, &table) {
            for indices in layouts(&stream, &indices) {
                let found = embedding(&stream, &table, &indices).unwrap();
                assert_eq!(stream.read_blocking(found).unwrap(), bytes);
            }
        }
    }
    let none = embedding(&stream, &table, &tensor(DType::Int32, &[0], &[])).unwrap();
    assert_eq!(none.shape(), &[0, 6]);
    assert!(values(&stream, &none).is_empty());
}

#[test]
fn embedding_fails_when_it_runs_on_an_index_out_of_range() {
    let stream = stream();
    let table = counting(DType::Float32, &[4, 2]);
    for index in [4.0, -1.0] {
        let indices = tensor(DType::Int64, &[3], &[0.0, index, 1.0]);
        let found = embedding(&stream, &table, &indices).unwrap();
        let error = refusal(stream.read_blocking(found));
        assert_eq!((error.code, error.operation), (ErrorCode::Argument, "embedding"));
        assert_eq!(error.found, format!("{index}"));
        assert!(error.expected.contains('4'), "{error}");
    }
    let floats = counting(DType::Float32, &[2]);
    let refused = embedding(&stream, &table, &floats);
    assert_refused(refused, ErrorCode::DType, "embedding", "indices");
    let refused = embedding(&stream, &floats, &tensor(DType::Int32, &[1], &[0.0]));
    assert_refused(refused, ErrorCode::Shape, "embedding", "table");
}
