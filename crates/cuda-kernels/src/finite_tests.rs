//! Whether values are finite, on the emulated device.

use super::*;
use crate::Layout;
use crate::testing::{HostTensor, gpu, layouts, numbers, outputs};

#[test]
fn one_value_in_any_place_shows() {
    let gpu = gpu();
    for dtype in [DType::Float32, DType::BFloat16, DType::Float16] {
        for layout in layouts() {
            let end = layout.end();
            for bad in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 6e4] {
                for place in [layout.offset, end.wrapping_sub(1), usize::MAX] {
                    let value = |at| if at == place { bad } else { at as f32 % 100.0 };
                    let input = HostTensor::with(dtype, layout.clone(), value);
                    let device = input.on(&gpu);
                    let kinds = [(DType::UInt8, &[1][..])];
                    let [found] =
                        outputs(&gpu, kinds, |[output]| all_finite(&gpu, &device.view, output));
                    let finite = bad.is_finite() || place >= end;
                    assert_eq!(found, [u8::from(finite)], "{dtype:?} {layout:?}: {bad} at {place}");
                }
            }
        }
    }
}

#[test]
fn integers_always_are() {
    let gpu = gpu();
    let device = numbers(DType::Int32, Layout::contiguous(&[4]), 1).on(&gpu);
    let kinds = [(DType::UInt8, &[1][..])];
    let [found] = outputs(&gpu, kinds, |[output]| all_finite(&gpu, &device.view, output));
    assert_eq!(found, [1]);
}
