//! Rows of tables on the emulated device beside the processor's: the same bytes.

use super::*;
use crate::Layout;
use crate::testing::{HostTensor, expected, gpu, numbers, outputs};
use cpu_kernels::embedding as cpu;

fn indices(dtype: DType, shape: &[usize], values: &[i64]) -> HostTensor {
    let bytes: Vec<u8> = match dtype {
        DType::Int32 => values.iter().flat_map(|&index| (index as i32).to_ne_bytes()).collect(),
        _ => values.iter().flat_map(|index| index.to_ne_bytes()).collect(),
    };
    HostTensor::from_bytes(dtype, Layout::contiguous(shape), &bytes)
}

#[test]
fn rows_come_whole_whatever_their_words() {
    let gpu = gpu();
    for dtype in DType::ALL {
        for (channels, stride, offset) in [(1, 1, 0), (33, 33, 0), (24, 40, 8), (1100, 1101, 3)] {
            let layout = Layout { shape: vec![6, channels], strides: vec![stride, 1], offset };
            let table = numbers(dtype, layout, 1);
            for (of, shape, values) in [
                (DType::Int32, vec![2, 3], vec![5, 0, 3, 3, 1, 2]),
                (DType::Int64, vec![4], vec![0, 5, 5, 4]),
                (DType::Int64, vec![0], vec![]),
            ] {
                let places = indices(of, &shape, &values);
                let whole = [&shape[..], &[channels]].concat();
                let kinds = [(dtype, &whole[..])];
                let (on_table, on_places) = (table.on(&gpu), places.on(&gpu));
                let [found] = outputs(&gpu, kinds, |[output]| {
                    embedding(&gpu, &on_table.view, &on_places.view, output)
                        .map_err(|error| panic!("{error:?}"))
                });
                let [wanted] = expected(kinds, |on, [output]| {
                    cpu::embedding(on, &table.host(), &places.host(), &output).unwrap();
                });
                assert_eq!(found, wanted, "{dtype:?} of {:?} at {shape:?}", table.layout);
            }
        }
    }
}

#[test]
fn an_index_out_of_range_is_named_and_nothing_written() {
    let gpu = gpu();
    let table = numbers(DType::Float32, Layout::contiguous(&[4, 3]), 1).on(&gpu);
    for (dtype, bad) in [(DType::Int32, -1), (DType::Int64, 4), (DType::Int64, i64::MIN)] {
        let places = indices(dtype, &[3], &[0, bad, 9]).on(&gpu);
        let [found] = outputs(&gpu, [(DType::Float32, &[3, 3])], |[output]| {
            let refused = embedding(&gpu, &table.view, &places.view, output);
            let expected = IndexOutOfRange { index: bad, rows: 4 };
            assert_eq!(refused, Err(EmbeddingError::Index(expected)));
            Ok(())
        });
        assert!(found.iter().all(|&byte| byte == 0xff), "written to");
    }
}
