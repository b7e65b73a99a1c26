//! Weights in 4 and 8 bits: the bytes are bitsandbytes' own on every device.

use crate::both;
use crate::compare::{Distance, FLOATS, Lie};
use tensor_runtime::{DType, operations};

#[test]
fn nf4() {
    let both = both();
    for dtype in FLOATS {
        for (shape, block_size) in
            [(&[5, 64][..], 64), (&[3, 33], 16), (&[1], 64), (&[7, 130], 128), (&[64, 64], 4096)]
        {
            let input = both.random(dtype, shape, 3.0, Lie::Part);
            both.agree("quantize nf4", Distance::Same, &[&input], |stream, inputs| {
                Ok(operations::quantize_nf4(stream, &inputs[0], block_size)?.into())
            });
            both.agree("nf4 there and back", Distance::Same, &[&input], |stream, inputs| {
                let [packed, absmax] = operations::quantize_nf4(stream, &inputs[0], block_size)?;
                let back = |dtype| {
                    operations::dequantize_nf4(stream, &packed, &absmax, shape, block_size, dtype)
                };
                FLOATS.map(back).into_iter().collect()
            });
        }
    }
}

#[test]
fn int8() {
    let both = both();
    for dtype in FLOATS {
        for shape in [[1, 1], [5, 64], [3, 1033]] {
            let input = both.random(dtype, &shape, 3.0, Lie::Turned);
            both.agree("int8", Distance::Same, &[&input], |stream, inputs| {
                let [codes, absmax] = operations::quantize_int8(stream, &inputs[0])?;
                let back = operations::dequantize_int8(stream, &codes, &absmax, dtype)?;
                Ok(vec![codes, absmax, back])
            });
        }
    }
}

#[test]
fn blockwise() {
    let both = both();
    let values: Vec<f64> = (0..256).map(|at| (f64::from(at) - 127.0) / 128.0).collect();
    let table = both.of(DType::Float32, &[256], &values);
    for (shape, block_size) in [(&[1][..], 256), (&[3, 200], 256), (&[1000], 64)] {
        let input = both.random(DType::Float32, shape, 5.0, Lie::Plain);
        both.agree("blockwise", Distance::Same, &[&input, &table], |stream, inputs| {
            let [codes, absmax] =
                operations::quantize_blockwise(stream, &inputs[0], &inputs[1], block_size)?;
            let back =
                operations::dequantize_blockwise(stream, &codes, &absmax, &inputs[1], block_size)?;
            Ok(vec![codes, absmax, back])
        });
    }
}
