//! Products through the fake library.

use super::fake::{Preference, half_to_single, library, single_to_half, symbol};
use super::library::{Api, Description};
use super::sys::*;
use super::{CublasLt, REFERENCE_ROWS};
use crate::fake::Fake;
use crate::libraries::SearchPaths;
use crate::{CudaError, CudaErrorCode, Device, DeviceMemory};
use std::sync::Arc;
use tensor_layout::DType;

/// A matrix of small whole numbers, exact in every type.
fn numbers(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|index| ((index * 7 + seed * 3) % 11) as f32 - 5.0).collect()
}

fn encode(dtype: DType, numbers: &[f32]) -> Vec<u8> {
    let each = |number: &f32| match dtype {
        DType::Float32 => number.to_le_bytes().to_vec(),
        DType::BFloat16 => number.to_le_bytes()[2..].to_vec(),
        _ => single_to_half(*number).to_le_bytes().to_vec(),
    };
    numbers.iter().flat_map(each).collect()
}

fn decode(dtype: DType, bytes: &[u8]) -> Vec<f32> {
    let each = |bytes: &[u8]| match dtype {
        DType::Float32 => f32::from_le_bytes(bytes.try_into().unwrap()),
        DType::BFloat16 => f32::from_le_bytes([0, 0, bytes[0], bytes[1]]),
        _ => half_to_single(u16::from_le_bytes(bytes.try_into().unwrap())),
    };
    bytes.chunks(dtype.size()).map(each).collect()
}

/// What a linear layer gets.
struct Layer {
    dtype: DType,
    sizes: [usize; 3],
    stride: usize,
    input: Vec<f32>,
    weight: Vec<f32>,
    bias: Option<Vec<f32>>,
}

impl Layer {
    fn new(dtype: DType, sizes: [usize; 3], stride: usize, bias: bool) -> Layer {
        let [m, n, k] = sizes;
        let input = numbers((m - 1) * stride + k, 1);
        let bias = bias.then(|| numbers(n, 3));
        Layer { dtype, sizes, stride, input, weight: numbers(n * k, 2), bias }
    }

    fn expected(&self) -> Vec<f32> {
        let [m, n, k] = self.sizes;
        let mut output = Vec::new();
        for row in 0..m {
            for column in 0..n {
                let products = (0..k).map(|inner| {
                    self.input[row * self.stride + inner] * self.weight[column * k + inner]
                });
                output.push(
                    products.sum::<f32>() + self.bias.as_ref().map_or(0.0, |bias| bias[column]),
                );
            }
        }
        output
    }

    fn run(&self, blas: &CublasLt, device: &Arc<Device>) -> Result<Vec<f32>, CudaError> {
        let [m, n, k] = self.sizes;
        let upload = |numbers: &[f32]| -> DeviceMemory {
            let bytes = encode(self.dtype, numbers);
            let memory = device.allocate(bytes.len()).unwrap();
            // SAFETY: a block of that many bytes.
            unsafe { device.copy_to_device(memory.address(), &bytes) }.unwrap();
            memory
        };
        let (input, weight) = (upload(&self.input), upload(&self.weight));
        let bias = self.bias.as_deref().map(upload);
        let output = device.allocate(m * n * self.dtype.size()).unwrap();
        // SAFETY: blocks of the sizes that are said.
        unsafe {
            blas.linear(
                self.dtype,
                m,
                n,
                k,
                input.address(),
                self.stride,
                weight.address(),
                bias.as_ref().map(DeviceMemory::address),
                output.address(),
            )
        }?;
        let mut bytes = vec![0; output.bytes()];
        // SAFETY: the block's bytes.
        unsafe { device.copy_to_host(&mut bytes, output.address()) }.unwrap();
        Ok(decode(self.dtype, &bytes))
    }
}

fn open() -> (&'static Fake, Arc<Device>, CublasLt) {
    let fake = Fake::new();
    let device = fake.device();
    // SAFETY: the fake's functions have the header's signatures.
    let blas = unsafe { CublasLt::with_symbols(&device, &symbol) }.unwrap();
    (fake, device, blas)
}

#[test]
fn products_are_those_of_rows() {
    let (fake, device, blas) = open();
    assert_eq!((blas.version(), blas.path()), ((13, 4, 1), None));
    for dtype in [DType::Float32, DType::BFloat16, DType::Float16] {
        for sizes in [[1, 1, 1], [1, 5, 3], [3, 1, 2], [4, 3, 5], [7, 8, 16]] {
            for (bias, further) in [(false, 0), (true, 0), (true, 3)] {
                let layer = Layer::new(dtype, sizes, sizes[2] + further, bias);
                let output = layer.run(&blas, &device).unwrap();
                assert_eq!(output, layer.expected(), "{dtype:?} {sizes:?} {bias} {further}");
            }
        }
    }
    drop((blas, device));
    assert_eq!(library(|library| library.live), 0, "descriptions are left");
    fake.assert_clean();
}

#[test]
fn sums_are_float32_for_every_type_and_never_split() {
    for (dtype, element_type) in
        [(DType::Float32, CUDA_R_32F), (DType::BFloat16, CUDA_R_16BF), (DType::Float16, CUDA_R_16F)]
    {
        let (_, device, blas) = open();
        library(|library| *library = Default::default());
        Layer::new(dtype, [2, 8, 16], 16, true).run(&blas, &device).unwrap();
        library(|library| {
            let description = library.products[0].description;
            assert_eq!(description.compute_type, CUBLAS_COMPUTE_32F);
            assert_eq!(description.scale_type, CUDA_R_32F);
            assert_eq!(description.epilogue, CUBLASLT_EPILOGUE_BIAS);
            let question = library.asked[0];
            assert_eq!(question.a.element_type, element_type);
            assert_eq!((question.a.rows, question.a.columns, question.a.leading), (16, 8, 16));
            assert_eq!((question.b.rows, question.b.columns), (16, REFERENCE_ROWS as u64));
            assert_eq!((question.d.rows, question.d.columns, question.d.leading), (8, 4096, 8));
            let preference =
                Preference { workspace_bytes: 32 << 20, reductions: Some(0), alignments: [16; 4] };
            assert_eq!(question.preference, preference);
        });
    }
}

#[test]
fn one_algorithm_serves_every_number_of_rows() {
    let (_, device, blas) = open();
    for rows in [1, 2, 17, 2, 1] {
        Layer::new(DType::Float32, [rows, 4, 8], 8, true).run(&blas, &device).unwrap();
    }
    library(|library| {
        assert_eq!(library.asked.len(), 1);
        assert_eq!(library.checked, [(1, 1), (1, 2), (1, 17)], "each checked once");
        assert!(library.products.iter().all(|call| call.algorithm == 1));
    });
    // Another width, type or epilogue is another algorithm.
    for (dtype, n, bias) in
        [(DType::Float32, 8, true), (DType::BFloat16, 8, true), (DType::Float32, 4, false)]
    {
        Layer::new(dtype, [2, n, 8], 8, bias).run(&blas, &device).unwrap();
    }
    library(|library| {
        let algorithms: Vec<_> = library.products.iter().map(|call| call.algorithm).collect();
        assert_eq!(algorithms, [1, 1, 1, 1, 1, 2, 3, 4]);
    });
}

#[test]
fn rows_that_the_algorithm_refuses_get_their_own() {
    let (_, device, blas) = open();
    library(|library| library.refused_rows = Some(3));
    for rows in [2, 3, 3, 4] {
        let layer = Layer::new(DType::Float32, [rows, 4, 8], 8, false);
        assert_eq!(layer.run(&blas, &device).unwrap(), layer.expected());
    }
    library(|library| {
        let algorithms: Vec<_> = library.products.iter().map(|call| call.algorithm).collect();
        assert_eq!(algorithms, [1, 2, 2, 1]);
        assert_eq!(library.asked[1].b.columns, 3);
        assert_eq!(library.products[0].workspace_bytes, 64);
    });
}

#[test]
fn an_algorithm_that_needs_more_workspace_than_there_is_is_not_used() {
    let (_, device, blas) = open();
    library(|library| library.workspace_for = Some((5, (32 << 20) + 1)));
    Layer::new(DType::Float32, [5, 4, 8], 8, false).run(&blas, &device).unwrap();
    library(|library| {
        assert_eq!(library.products[0].algorithm, 2);
        library.workspace_for = Some((6, 32 << 20));
    });
    Layer::new(DType::Float32, [6, 4, 8], 8, false).run(&blas, &device).unwrap();
    library(|library| {
        let last = library.products[1];
        assert_eq!((last.algorithm, last.workspace_bytes), (1, 32 << 20));
    });
}

#[test]
fn rows_that_begin_between_16_bytes_are_said_to() {
    let (_, device, blas) = open();
    let layer = Layer::new(DType::BFloat16, [2, 8, 8], 9, false);
    assert_eq!(layer.run(&blas, &device).unwrap(), layer.expected());
    assert_eq!(library(|library| library.asked[0].preference.alignments), [2; 4]);
}

#[test]
fn nothing_is_asked_of_the_library_for_no_output() {
    let (_, _device, blas) = open();
    for (m, n) in [(0, 4), (4, 0)] {
        // SAFETY: no elements.
        unsafe { blas.linear(DType::Float32, m, n, 4, 0, 4, 0, None, 0) }.unwrap();
    }
    assert_eq!(library(|library| library.asked.len() + library.products.len()), 0);
}

#[test]
fn products_that_make_no_sense_are_refused_with_their_shapes() {
    let (_, _device, blas) = open();
    // SAFETY: refused.
    let refusal = |dtype, k, stride| unsafe {
        blas.linear(dtype, 2, 3, k, 16, stride, 16, None, 16).unwrap_err()
    };
    let error = refusal(DType::Int8, 4, 4);
    assert_eq!(error.code, CudaErrorCode::Unsupported);
    assert_eq!(
        error.message,
        "linear of int8, (2, 4) rows 4 apart by (3, 4): not a floating-point type"
    );
    assert_eq!(refusal(DType::Float32, 0, 0).code, CudaErrorCode::Unsupported);
    assert!(refusal(DType::Float32, 4, 3).message.ends_with("rows overlap"));
    assert_eq!(library(|library| library.products.len()), 0);
}

#[test]
fn failures_say_which_product_and_which_call() {
    let (_, device, blas) = open();
    let layer = Layer::new(DType::Float32, [2, 3, 4], 4, true);
    let cases = [
        ("cublasLtMatmulAlgoGetHeuristic", CUBLAS_STATUS_ALLOC_FAILED, CudaErrorCode::OutOfMemory),
        ("cublasLtMatmulAlgoCheck", CUBLAS_STATUS_ARCH_MISMATCH, CudaErrorCode::Unsupported),
        ("cublasLtMatmul", 13, CudaErrorCode::Failed),
    ];
    for (function, status, code) in cases {
        library(|library| library.failure = Some((function, status)));
        let error = layer.run(&blas, &device).unwrap_err();
        assert_eq!((error.code, error.function), (code, function));
        assert!(error.message.starts_with("linear of float32, (2, 4) rows 4 apart by (3, 4): "));
    }
    assert_eq!(layer.run(&blas, &device).unwrap(), layer.expected());
    library(|library| library.no_algorithm = true);
    let other = Layer::new(DType::Float32, [2, 5, 4], 4, true);
    let error = other.run(&blas, &device).unwrap_err();
    assert_eq!(error.name, "CUBLAS_STATUS_NOT_SUPPORTED");
    assert!(error.message.ends_with(": not supported"), "{error}");
}

#[test]
fn a_library_that_lacks_functions_or_can_not_start_is_refused() {
    let fake = Fake::new();
    let device = fake.device();
    let hidden =
        |name: &std::ffi::CStr| symbol(name).filter(|_| name != c"cublasLtMatmulAlgoCheck");
    // SAFETY: as in `open`.
    let error = unsafe { CublasLt::with_symbols(&device, &hidden) }.err().unwrap();
    assert_eq!((error.code, error.function), (CudaErrorCode::Unsupported, "dlsym"));
    assert!(error.message.contains("lacks cublasLtMatmulAlgoCheck"), "{error}");
    library(|library| library.failure = Some(("cublasLtCreate", 1)));
    // SAFETY: as in `open`.
    let error = unsafe { CublasLt::with_symbols(&device, &symbol) }.err().unwrap();
    assert_eq!((error.function, error.name.as_str()), ("cublasLtCreate", "cuBLAS status 1"));
    fake.fail("cuMemAllocFromPoolAsync", crate::sys::CUDA_ERROR_LAUNCH_FAILED);
    // SAFETY: as in `open`.
    let error = unsafe { CublasLt::with_symbols(&device, &symbol) }.err().unwrap();
    assert!(error.message.starts_with("cuBLASLt's workspace: "), "{error}");
    assert_eq!(library(|library| library.live), 0);
}

/// The library itself takes descriptions without a device, so where it is installed it says whether
/// attributes have the numbers and sizes that it knows.
#[test]
fn the_library_takes_the_descriptions_where_it_is_installed() {
    let Ok(api) = Api::open(&SearchPaths::from_environment(), (u32::MAX, 0)) else { return };
    let product = Description::product(&api).unwrap();
    product.set_product(CUBLASLT_MATMUL_DESC_EPILOGUE, &CUBLASLT_EPILOGUE_BIAS).unwrap();
    product.set_product(CUBLASLT_MATMUL_DESC_BIAS_POINTER, &64u64).unwrap();
    for element_type in [CUDA_R_32F, CUDA_R_16BF, CUDA_R_16F] {
        Description::matrix(&api, element_type, 8, 4, 8).unwrap();
    }
    let preference = Description::preference(&api).unwrap();
    preference.set_preference(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &1usize).unwrap();
    let reduction = CUBLASLT_REDUCTION_SCHEME_NONE;
    preference.set_preference(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &reduction).unwrap();
    for matrix in 5..=8 {
        preference.set_preference(matrix, &16u32).unwrap();
    }
    // It does look: a value of another size is refused.
    let error = product.set_product(CUBLASLT_MATMUL_DESC_EPILOGUE, &0u8).unwrap_err();
    assert_eq!(error.name, "CUBLAS_STATUS_INVALID_VALUE");
    assert_eq!(error.function, "cublasLtMatmulDescSetAttribute");
}
