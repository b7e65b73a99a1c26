//! The mean on the emulated device, against sums in float64.

use super::*;
use crate::Layout;
use crate::testing::{HostTensor, gpu, numbers, outputs};

fn f32_of(bytes: &[u8]) -> f32 {
    f32::from_ne_bytes(bytes.try_into().unwrap())
}

#[test]
fn is_rounded_once_whatever_the_count() {
    let gpu = gpu();
    for count in [1, 2, 1023, 1024, 1025, 70_000] {
        let input = numbers(DType::Float32, Layout::contiguous(&[count]), count as u64);
        let device = input.on(&gpu);
        let kinds = [(DType::Float32, &[][..])];
        let [found] = outputs(&gpu, kinds, |[output]| mean(&gpu, &device.view, output));
        let values = input.host();
        let values: &[f32] = values.as_slice();
        let exact = values.iter().map(|&value| f64::from(value)).sum::<f64>() / count as f64;
        let found = f32_of(&found);
        let allowed = 2f64.powi(-24) * exact.abs() + 1e-15;
        assert!((f64::from(found) - exact).abs() <= allowed, "{count}: {found}, not {exact}");
    }
}

#[test]
fn more_blocks_than_places_for_their_sums_are_shared_out() {
    let gpu = gpu();
    let most = gpu.constant("mean", "BLOCK") * gpu.constant("partial_sums", "BLOCK");
    let count = most as usize + 3000;
    let values = (0..count).map(|place| (place % 5) as f32 * 0.25);
    let bytes: Vec<u8> = values.clone().flat_map(f32::to_ne_bytes).collect();
    let input = HostTensor::from_bytes(DType::Float32, Layout::contiguous(&[count]), &bytes);
    let device = input.on(&gpu);
    let kinds = [(DType::Float32, &[][..])];
    let [found] = outputs(&gpu, kinds, |[output]| mean(&gpu, &device.view, output));
    let exact = values.map(f64::from).sum::<f64>() / count as f64;
    assert_eq!(f32_of(&found), exact as f32);
}

#[test]
fn of_nothing_is_no_number() {
    let gpu = gpu();
    let device = numbers(DType::Float32, Layout::contiguous(&[3, 0]), 1).on(&gpu);
    let kinds = [(DType::Float32, &[][..])];
    let [found] = outputs(&gpu, kinds, |[output]| mean(&gpu, &device.view, output));
    assert!(f32_of(&found).is_nan());
}
