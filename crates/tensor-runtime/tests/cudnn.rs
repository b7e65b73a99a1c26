//! Attention by an emulated cuDNN on the emulated device, beside the processor's.

use cpu_kernels::float::{bf16_to_f32, f32_to_bf16};
use cuda::cudnn::{Cudnn, CudnnLibrary};
use std::sync::OnceLock;
use tensor_runtime::operations::{self, LogSumExp};
use tensor_runtime::{
    CudaDriver, DType, Device, ErrorCode, InstructionSet, Storage, Stream, Tensor,
};

const DEVICE: Device = Device::Cuda(0);

/// The stream of all tests, whose device has a cuDNN.
fn stream() -> &'static Stream {
    static STREAM: OnceLock<Stream> = OnceLock::new();
    STREAM.get_or_init(|| {
        let stream = Stream::new(2, InstructionSet::detect());
        // SAFETY: the emulators' functions are the driver's and cuDNN's, by name and signature.
        let (driver, library) = unsafe {
            cudnn_emulator::use_driver(&cuda_emulator::symbol);
            let driver = CudaDriver::with_symbols(&cuda_emulator::symbol);
            (driver, CudnnLibrary::with_symbols(&cudnn_emulator::symbol))
        };
        stream.set_cuda_driver(driver.unwrap());
        let gpu = stream.gpu("test", 0).unwrap();
        gpu.set_cudnn(Cudnn::new(library.unwrap(), gpu.device()).unwrap());
        stream
    })
}

/// bfloat16 numbers in (-2, 2), the same for the same seed.
fn numbers(shape: &[usize], seed: usize) -> Tensor {
    let count: usize = shape.iter().product();
    let bytes: Vec<u8> = (0..count)
        .map(|at| ((at * 37 + seed * 11) % 63) as f32 / 16.0 - 1.9375)
        .flat_map(|value| f32_to_bf16(value).to_le_bytes())
        .collect();
    let storage = Storage::copied(&bytes).unwrap();
    Tensor::new(storage, DType::BFloat16, shape).unwrap()
}

fn there(tensor: &Tensor) -> Tensor {
    operations::to_device(stream(), tensor, DEVICE).unwrap()
}

fn values(tensor: Tensor) -> Vec<f32> {
    let dtype = tensor.dtype();
    let bytes = stream().read_blocking(tensor).unwrap();
    match dtype {
        DType::Float32 => bytes
            .chunks_exact(4)
            .map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]]))
            .collect(),
        _ => bytes
            .chunks_exact(2)
            .map(|half| bf16_to_f32(u16::from_le_bytes([half[0], half[1]])))
            .collect(),
    }
}

/// Compares attention of views of these tensors here and there.
fn agrees(
    what: &str,
    [query, key, value]: [Tensor; 3],
    scale: f64,
    turn: impl Fn(Tensor) -> Tensor,
) {
    let here = [&query, &key, &value].map(|tensor| turn(tensor.clone()));
    let device = [&query, &key, &value].map(|tensor| turn(there(tensor)));
    let [query, key, value] = &here;
    let (expected, sums) =
        operations::attention(stream(), query, key, value, None, scale, true).unwrap();
    let Some(LogSumExp { rounded, .. }) = sums else { panic!("the sums were asked for") };
    let [query, key, value] = &device;
    let (found, found_sums) =
        operations::cudnn_attention(stream(), query, key, value, scale, true).unwrap();
    assert_eq!(found.device(), DEVICE);
    let (found, expected) = (values(found), values(expected));
    assert_eq!(found.len(), expected.len(), "{what}");
    for (at, (found, expected)) in found.into_iter().zip(expected).enumerate() {
        assert!((found - expected).abs() <= 2f32.powi(-6), "{what}, {at}: {found}, {expected}");
    }
    for (found, expected) in values(found_sums.unwrap()).into_iter().zip(values(rounded)) {
        assert!((found - expected).abs() <= 1e-4, "{what}: {found}, not {expected}");
    }
}

#[test]
fn views_of_all_kinds_agree_with_the_processors() {
    let three = |shape: &[usize]| [1, 2, 3].map(|seed| numbers(shape, seed));
    agrees("contiguous", three(&[2, 7, 3, 16]), 0.25, |tensor| tensor);
    agrees("turned", three(&[2, 3, 7, 16]), 0.25, |tensor| tensor.permuted(&[0, 2, 1, 3]).unwrap());
    // Rows of 20 channels, of which 16 from an odd place on are read: copied before.
    agrees("part of rows", three(&[2, 7, 3, 20]), 0.25, |tensor| tensor.sliced(3, 3, 19).unwrap());
    agrees("channels apart", three(&[2, 7, 16, 3]), 0.25, |tensor| {
        tensor.permuted(&[0, 1, 3, 2]).unwrap()
    });
    agrees("shared by heads", three(&[2, 7, 1, 16]), 0.25, |tensor| {
        tensor.expanded(&[2, 7, 3, 16]).unwrap()
    });
    agrees("a negative scale", three(&[1, 7, 3, 16]), -0.5, |tensor| tensor);
    agrees("no scale at all", three(&[1, 7, 3, 16]), 0.0, |tensor| tensor);
}

#[test]
fn the_sums_are_given_where_they_are_asked_for() {
    let tensor = there(&numbers(&[1, 3, 2, 8], 1));
    let attend =
        |sums| operations::cudnn_attention(stream(), &tensor, &tensor, &tensor, 0.5, sums).unwrap();
    let (output, sums) = attend(false);
    assert!(sums.is_none());
    assert_eq!(values(output), values(attend(true).0));
}

#[test]
fn what_cudnn_has_not_is_refused_at_once() {
    let refusal = |tensor: &Tensor, scale| {
        let stream = stream();
        let refused = operations::cudnn_attention(stream, tensor, tensor, tensor, scale, false);
        let error = refused.err().unwrap();
        (error.code, error.to_string())
    };
    let tensor = numbers(&[1, 3, 2, 8], 1);
    let (code, message) = refusal(&tensor, 0.5);
    assert_eq!(code, ErrorCode::Device);
    assert_eq!(message, "cudnnAttention: query must be on a CUDA device, but is on cpu");
    let float = operations::copy(stream(), &there(&tensor), DType::Float32).unwrap();
    let (code, message) = refusal(&float, 0.5);
    assert_eq!(code, ErrorCode::DType);
    assert!(message.contains("bfloat16 or float16, but is float32"), "{message}");
    for size in [12, 136] {
        let (code, message) = refusal(&there(&numbers(&[1, 3, 2, size], 1)), 0.5);
        assert_eq!(code, ErrorCode::Shape, "{message}");
    }
    assert_eq!(refusal(&there(&tensor), f64::NAN).0, ErrorCode::Argument);
}
