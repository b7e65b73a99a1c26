//! Parts of attention put together on the emulated device, beside the processor's.

use super::*;
use crate::Layout;
use crate::testing::{HostTensor, assert_near, expected, gpu, numbers, outputs};
use cpu_kernels::merge as cpu;

const NONE: f32 = f32::NEG_INFINITY;
const SUMS: [[f32; 2]; 11] = [
    [0.0, 0.0],
    [1.5, -2.0],
    [-300.25, -301.5],
    [80.0, 79.5],
    [3.0, 90.0],
    [NONE, 2.5],
    [-1.0, NONE],
    [NONE, NONE],
    [f32::NAN, 0.0],
    [0.0, f32::NAN],
    [f32::INFINITY, 0.0],
];

fn sums(part: usize) -> HostTensor {
    HostTensor::with(DType::Float32, Layout::contiguous(&[11]), |row| SUMS[row][part])
}

fn residue(part: usize) -> HostTensor {
    HostTensor::with(DType::Float32, Layout::contiguous(&[11]), |row| (row + part) as f32 * 1e-8)
}

#[test]
fn weighs_parts_as_the_processor_does() {
    let gpu = gpu();
    for dtype in [DType::Float32, DType::BFloat16, DType::Float16] {
        for (size, given) in [(1, [false, false]), (64, [true, false]), (130, [false, true])] {
            let parts = [
                (numbers(DType::Float32, Layout::contiguous(&[11, size]), 1), sums(0), residue(0)),
                (numbers(dtype, Layout::contiguous(&[11, size]), 2), sums(1), residue(1)),
            ];
            let shape = [11, size];
            let rows = (DType::Float32, &[11][..]);
            let kinds = [(DType::Float32, &shape[..]), rows, rows];
            let on: Vec<_> =
                parts.iter().map(|(a, b, c)| [a, b, c].map(|one| one.on(&gpu))).collect();
            let part = |at: usize| AttentionPart {
                output: &on[at][0].view,
                log_sum_exp: &on[at][1].view,
                residue: given[at].then_some(&on[at][2].view),
            };
            let found = outputs(&gpu, kinds, |[output, rounded, rest]| {
                merge_attention(&gpu, part(0), part(1), output, rounded, rest)
            });
            let host: Vec<_> =
                parts.iter().map(|(a, b, c)| [a.host(), b.host(), c.host()]).collect();
            let part = |at: usize| cpu::AttentionPart {
                output: &host[at][0],
                log_sum_exp: &host[at][1],
                residue: given[at].then_some(&host[at][2]),
            };
            let wanted = expected(kinds, |on, [output, rounded, rest]| {
                cpu::merge_attention(on, part(0), part(1), &output, &rounded, &rest);
            });
            let case = format!("{dtype:?}, {size} channels, residues {given:?}");
            // The exponential and the logarithm differ in their last bits, of float64.
            for (found, wanted) in found.iter().zip(&wanted).take(2) {
                let of = |bytes: &Vec<u8>| {
                    let layout = Layout::contiguous(&[bytes.len() / 4]);
                    HostTensor::from_bytes(DType::Float32, layout, bytes)
                };
                assert_near(&case, &of(found), &of(wanted), 1e-7, 1e-14);
            }
            let precise = |outputs: &[Vec<u8>; 3]| -> Vec<f64> {
                let [rounded, rest] = [1, 2].map(|n| outputs[n].as_chunks::<4>().0);
                let wide = |word: &[u8; 4]| f64::from(f32::from_ne_bytes(*word));
                rounded.iter().zip(rest).map(|(a, b)| wide(a) + wide(b)).collect()
            };
            for (found, wanted) in precise(&found).into_iter().zip(precise(&wanted)) {
                let near = (found - wanted).abs() <= 2f64.powi(-46) * wanted.abs() + 1e-14;
                let same = found == wanted || found.is_nan() && wanted.is_nan();
                assert!(near || same, "{case}: {found}, not {wanted}");
            }
        }
    }
}

#[test]
fn no_rows_merge_to_none() {
    let gpu = gpu();
    let (output, sums) = (
        numbers(DType::Float32, Layout::contiguous(&[0, 4]), 1).on(&gpu),
        numbers(DType::Float32, Layout::contiguous(&[0]), 1).on(&gpu),
    );
    let part = AttentionPart { output: &output.view, log_sum_exp: &sums.view, residue: None };
    let rows = (DType::Float32, &[0][..]);
    outputs(&gpu, [(DType::Float32, &[0, 4][..]), rows, rows], |[output, rounded, rest]| {
        merge_attention(&gpu, part, part, output, rounded, rest)
    });
}
