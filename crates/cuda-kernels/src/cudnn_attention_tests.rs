//! Attention by an emulated cuDNN against the CPU's.

use super::*;
use crate::DType;
use crate::testing::{HostTensor, assert_near, gpu, on_cpu, random, rounding};
use cpu_kernels::attention as cpu;
use cuda::CudaErrorCode;
use cuda::cudnn::{Cudnn, CudnnLibrary};

/// The emulated device with an emulated cuDNN.
fn gpu_with_cudnn() -> Gpu {
    let gpu = gpu();
    // SAFETY: the emulators' functions have the signatures and contracts of the driver's and cuDNN's.
    let library = unsafe {
        cudnn_emulator::use_driver(&cuda_emulator::symbol);
        CudnnLibrary::with_symbols(&cudnn_emulator::symbol)
    };
    gpu.set_cudnn(Cudnn::new(library.unwrap(), gpu.device()).unwrap());
    gpu
}

/// Query, key and value as one product leaves them, (B, S, 3, H, D).
fn inputs(dtype: DType, [batch, queries, keys, heads, size]: [usize; 5]) -> [HostTensor; 3] {
    let rows = queries.max(keys);
    let row = 3 * heads * size;
    let storage: Vec<f32> = random(batch * rows * row, 1).iter().map(|value| 1.7 * value).collect();
    [(0, queries), (1, keys), (2, keys)].map(|(part, length)| {
        let shape = vec![batch, length, heads, size];
        let strides = vec![rows * row, row, size, 1];
        HostTensor::new(dtype, &storage, Layout { shape, strides, offset: part * heads * size })
    })
}

fn on_device(gpu: &Gpu, inputs: &[HostTensor; 3], scale: f32, with_sums: bool) -> [HostTensor; 2] {
    let [query, key, value] = inputs.each_ref().map(|tensor| tensor.on(gpu));
    let shape = &inputs[0].layout.shape;
    let output = HostTensor::unwritten(inputs[0].dtype, shape).on(gpu);
    let sums = HostTensor::unwritten(DType::Float32, &shape[..3]).on(gpu);
    let arguments = CudnnAttentionArguments {
        query: &query.view,
        key: &key.view,
        value: &value.view,
        scale,
        output: &output.view,
        log_sum_exp: with_sums.then_some(&sums.view),
    };
    cudnn_attention(gpu, &arguments).unwrap();
    [output.back(), sums.back()]
}

#[test]
fn output_and_log_sum_exp_are_the_processors() {
    let gpu = gpu_with_cudnn();
    for dtype in [DType::BFloat16, DType::Float16] {
        for sizes in [[1, 1, 1, 1, 8], [2, 5, 9, 3, 16], [1, 12, 3, 2, 64], [2, 3, 7, 1, 128]] {
            let inputs = inputs(dtype, sizes);
            let scale = (sizes[4] as f32).sqrt().recip();
            let [output, sums] = on_device(&gpu, &inputs, scale, true);
            let shape = &inputs[0].layout.shape;
            let mut expected = HostTensor::unwritten(dtype, shape);
            let mut rounded = HostTensor::unwritten(DType::Float32, &shape[..3]);
            let mut residue = rounded.clone();
            let arguments = cpu::AttentionArguments {
                query: inputs[0].host(),
                key: inputs[1].host(),
                value: inputs[2].host(),
                mask: None,
                scale,
                output: expected.host_mut(),
                log_sum_exp: Some(cpu::LogSumExp {
                    rounded: rounded.host_mut(),
                    residue: residue.host_mut(),
                }),
            };
            on_cpu(|on| cpu::attention(on, &arguments));
            let what = format!("{} {sizes:?}", dtype.name());
            // Probabilities and output are rounded to the type once each.
            assert_near(&what, &output, &expected, 2.0 * rounding(dtype), 4.0 * rounding(dtype));
            assert_near(&what, &sums, &rounded, 1e-5, 1e-5);
            let [alone, untouched] = on_device(&gpu, &inputs, scale, false);
            assert_eq!(alone.bytes(), output.bytes(), "{what}");
            assert!(untouched.bytes().iter().all(|byte| *byte == 0xff), "{what}");
        }
    }
}

#[test]
fn rows_without_keys_are_zeros_and_no_rows_are_nothing() {
    let gpu = gpu_with_cudnn();
    let [output, sums] = on_device(&gpu, &inputs(DType::BFloat16, [2, 3, 0, 2, 8]), 1.0, true);
    assert!(output.floats().iter().all(|value| *value == 0.0));
    assert!(sums.floats().iter().all(|value| *value == f32::NEG_INFINITY));
    let [output, _] = on_device(&gpu, &inputs(DType::BFloat16, [2, 0, 3, 2, 8]), 1.0, true);
    assert_eq!(output.floats().len(), 0);
}

#[test]
fn a_device_whose_library_is_told_of_keeps_it() {
    let gpu = gpu_with_cudnn();
    let version = gpu.cudnn().map(|cudnn| cudnn.library().version().to_string());
    assert_eq!(version, Ok("9.26.0".into()));
    let [query, key, value] = inputs(DType::Float32, [1, 2, 2, 1, 8]).map(|tensor| tensor.on(&gpu));
    let output = HostTensor::unwritten(DType::Float32, &[1, 2, 1, 8]).on(&gpu);
    let arguments = CudnnAttentionArguments {
        query: &query.view,
        key: &key.view,
        value: &value.view,
        scale: 1.0,
        output: &output.view,
        log_sum_exp: None,
    };
    let error = cudnn_attention(&gpu, &arguments).unwrap_err();
    assert_eq!(error.code, CudaErrorCode::Unsupported, "{error}");
}
