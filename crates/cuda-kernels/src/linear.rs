//! The linear layer.

use crate::number::{blocks, grid, number};
use crate::unary;
pub use crate::unary::Activation;
use crate::{DType, DeviceView, Gpu, Products};
use cuda::{Argument, CudaError};

/// output = activation(input · weightᵀ + bias), as torch's `nn.Linear` followed by its activation.
///
/// `input` is (rows, K) with consecutive elements along K and any distance between rows, `weight`
/// (N, K) and `bias` (N) are contiguous, `output` is (rows, N). All have one element type:
/// `Float32`, `BFloat16` or `Float16`. Sums are kept in float32, without TF32, and rounded once,
/// after the bias; the activation reads the rounded value and its result is rounded again. It is a
/// pass of its own: within the product it would hold up the tensor cores for longer than the pass
/// takes.
///
/// With cuBLASLt ([`Products`]) that computes the product. By the crate's own kernels the bytes of an
/// output row depend on the input row, weight, bias and device alone. Quickest where
/// K, N and the distance between rows are multiples of 16 elements and pointers of 16 bytes.
///
/// # Errors
///
/// What the device refuses, and `Unsupported` for extents from 2³¹ on.
pub fn linear(
    gpu: &Gpu,
    input: &DeviceView,
    weight: &DeviceView,
    bias: Option<&DeviceView>,
    activation: Activation,
    output: &DeviceView,
) -> Result<(), CudaError> {
    if output.count() == 0 {
        return Ok(());
    }
    let (&[rows, channels], &[columns, _]) = (input.shape(), weight.shape()) else {
        panic!("linear: input {:?}, weight {:?}", input.shape(), weight.shape());
    };
    // That of a single row too: it takes the kernel that it takes among others.
    let stride = input.strides()[0];
    let bias_pointer = bias.map_or(0, DeviceView::pointer);
    let in_whole_vectors = [input, weight, output].iter().all(|tensor| tensor.is_aligned())
        && bias_pointer.is_multiple_of(16)
        && [columns, channels, stride].iter().all(|size| size.is_multiple_of(16));
    if let Products::CublasLt(library) = gpu.products()
        && channels > 0
    {
        let (input_address, bias) = (input.pointer(), bias.map(DeviceView::pointer));
        let (weight, output_address) = (weight.pointer(), output.pointer());
        // SAFETY: the views' makers promised that the addresses are good, and the shapes are theirs.
        unsafe {
            library.linear(
                input.dtype,
                rows,
                columns,
                channels,
                input_address,
                stride,
                weight,
                bias,
                output_address,
            )
        }?;
        return activate(gpu, activation, output);
    }
    let kernel = match (input.dtype, in_whole_vectors) {
        (DType::BFloat16, true) => "linear_bf16_aligned",
        (DType::BFloat16, false) => "linear_bf16",
        (DType::Float16, true) => "linear_f16_aligned",
        (DType::Float16, false) => "linear_f16",
        _ => "linear_f32",
    };
    let programs =
        blocks(gpu, kernel, "BLOCK_ROWS", rows) * blocks(gpu, kernel, "BLOCK_COLUMNS", columns);
    let arguments = [
        Argument::Pointer(input.pointer()),
        Argument::Pointer(weight.pointer()),
        Argument::Pointer(bias_pointer),
        Argument::Pointer(output.pointer()),
        number("linear", rows)?,
        number("linear", columns)?,
        number("linear", channels)?,
        Argument::I64(stride as i64),
        Argument::I32(bias.is_some().into()),
    ];
    gpu.launch(kernel, grid("linear", programs)?, &arguments)?;
    activate(gpu, activation, output)
}

fn activate(gpu: &Gpu, activation: Activation, output: &DeviceView) -> Result<(), CudaError> {
    match activation {
        Activation::None => Ok(()),
        activation => unary::activation(gpu, activation, output, output),
    }
}

#[cfg(test)]
#[path = "linear_tests.rs"]
mod tests;
