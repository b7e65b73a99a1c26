//! Quantization and the mean: any layout gives the bytes of the contiguous one, and what doesn't fit
//! is refused by name. The values are compared with bitsandbytes' own in `packages/quantization`.

use super::values::{self, FLOATS, layouts, random, same_everywhere, tensor, values};
use crate::operations::{
    dequantize_blockwise, dequantize_int8, dequantize_nf4, mean, quantize_blockwise, quantize_int8,
    quantize_nf4,
};
use crate::{DType, ErrorCode, InstructionSet, RuntimeError, Stream, Tensor};

fn stream() -> Stream {
    Stream::new(2, InstructionSet::detect())
}

fn refusal<T>(result: Result<T, RuntimeError>) -> (ErrorCode, String) {
    let error = values::refusal(result);
    (error.code, error.argument)
}

fn table() -> Tensor {
    let entries: Vec<f64> = (0..256).map(|code| f64::from(code) / 127.5 - 1.0).collect();
    tensor(DType::Float32, &[256], &entries)
}

#[test]
fn every_layout_gives_the_same_codes_on_every_stream() {
    for dtype in FLOATS {
        let (weight, _) = random(dtype, &[7, 131], 3, 2.0);
        let codes = |stream: &Stream, weight: &Tensor| {
            let [nf4, _] = quantize_nf4(stream, weight, 64).unwrap();
            let [int8, _] = quantize_int8(stream, weight).unwrap();
            (values(stream, &nf4), values(stream, &int8))
        };
        let stream = stream();
        let expected = codes(&stream, &weight);
        for view in layouts(&stream, &weight) {
            assert_eq!(codes(&stream, &view), expected);
        }
        same_everywhere(|stream| {
            let [packed, absmax] = quantize_nf4(stream, &weight, 64).unwrap();
            dequantize_nf4(stream, &packed, &absmax, &[7, 131], 64, dtype).unwrap()
        });
        same_everywhere(|stream| {
            let [codes, absmax] = quantize_int8(stream, &weight).unwrap();
            dequantize_int8(stream, &codes, &absmax, dtype).unwrap()
        });
    }
}

#[test]
fn restored_values_lie_within_half_the_widest_gap() {
    let stream = stream();
    let (weight, held) = random(DType::Float32, &[5, 77], 9, 3.0);
    let [packed, absmax] = quantize_nf4(&stream, &weight, 32).unwrap();
    let nf4 = dequantize_nf4(&stream, &packed, &absmax, &[5, 77], 32, DType::Float32).unwrap();
    // Between the codes -1 and -0.696, of a scale of at most 3.
    assert!(values(&stream, &nf4).iter().zip(&held).all(|(a, b)| (a - b).abs() <= 3.0 * 0.1521));
    let [codes, absmax] = quantize_blockwise(&stream, &weight, &table(), 32).unwrap();
    let restored = dequantize_blockwise(&stream, &codes, &absmax, &table(), 32).unwrap();
    // Steps of 1 / 127.5, looked up by one of 65,536.
    let allowed = 3.0 * (0.5 / 127.5 + 1.0 / 65_535.0);
    assert!(values(&stream, &restored).iter().zip(&held).all(|(a, b)| (a - b).abs() <= allowed));
}

#[test]
fn the_mean_of_any_layout_is_that_of_its_values() {
    let stream = stream();
    let (input, held) = random(DType::Float32, &[9, 40], 5, 1.0);
    let expected = held.iter().sum::<f64>() / 360.0;
    for view in layouts(&stream, &input).iter().chain([&input]) {
        let found = mean(&stream, view).unwrap();
        assert_eq!(found.shape(), &[] as &[usize]);
        assert!((values(&stream, &found)[0] - expected).abs() < 1e-6);
    }
    let halves = tensor(DType::Float16, &[2], &[1.0, 2.0]);
    assert_eq!(refusal(mean(&stream, &halves)), (ErrorCode::DType, "input".into()));
}

#[test]
fn refuses_what_does_not_fit_by_name() {
    let stream = stream();
    let weight = tensor(DType::Float32, &[2, 64], &[0.5; 128]);
    let bytes = tensor(DType::UInt8, &[64], &[0.0; 64]);
    let scales = tensor(DType::Float32, &[2], &[1.0; 2]);
    let (shape, dtype, argument) = (ErrorCode::Shape, ErrorCode::DType, ErrorCode::Argument);

    assert_eq!(refusal(quantize_nf4(&stream, &bytes, 64)), (dtype, "input".into()));
    assert_eq!(refusal(quantize_nf4(&stream, &weight, 48)), (argument, "blockSize".into()));
    let restore = |packed: &Tensor, absmax: &Tensor, wanted: &[usize], to: DType| {
        refusal(dequantize_nf4(&stream, packed, absmax, wanted, 64, to))
    };
    let single = DType::Float32;
    assert_eq!(restore(&weight, &scales, &[2, 64], single), (dtype, "packed".into()));
    assert_eq!(restore(&bytes, &bytes, &[2, 64], single), (dtype, "absmax".into()));
    assert_eq!(restore(&bytes, &scales, &[2, 66], single), (shape, "packed".into()));
    assert_eq!(restore(&bytes, &weight, &[2, 64], single), (shape, "absmax".into()));
    assert_eq!(restore(&bytes, &scales, &[2, 64], DType::Int32), (dtype, "dtype".into()));

    let entries = table();
    let quantize = |input: &Tensor, entries: &Tensor, size: usize| {
        refusal(quantize_blockwise(&stream, input, entries, size))
    };
    assert_eq!(quantize(&bytes, &entries, 64), (dtype, "input".into()));
    assert_eq!(quantize(&weight, &scales, 64), (shape, "table".into()));
    assert_eq!(quantize(&weight, &entries, 0), (argument, "blockSize".into()));
    let restore = dequantize_blockwise(&stream, &bytes, &scales, &entries, 64);
    assert_eq!(refusal(restore), (shape, "absmax".into()));

    assert_eq!(refusal(quantize_int8(&stream, &scales)), (shape, "input".into()));
    let codes = tensor(DType::Int8, &[2, 3], &[1.0, -128.0, 127.0, 0.0, 5.0, -1.0]);
    let three = tensor(DType::Float32, &[3], &[1.0; 3]);
    let restore = |codes: &Tensor, absmax: &Tensor, to: DType| {
        refusal(dequantize_int8(&stream, codes, absmax, to))
    };
    assert_eq!(restore(&weight, &scales, single), (dtype, "codes".into()));
    assert_eq!(restore(&codes, &three, single), (shape, "absmax".into()));
    assert_eq!(restore(&codes, &scales, DType::UInt8), (dtype, "dtype".into()));
}
