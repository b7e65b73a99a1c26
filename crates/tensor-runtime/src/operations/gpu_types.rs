//! What the kernels of both kinds of device call the same.

use cpu_kernels::binary::BinaryOperation;
use cpu_kernels::linear::Activation;

/// The activation as the CUDA kernels have it.
pub(super) fn on_gpu(activation: Activation) -> cuda_kernels::unary::Activation {
    match activation {
        Activation::None => cuda_kernels::unary::Activation::None,
        Activation::Silu => cuda_kernels::unary::Activation::Silu,
        Activation::Gelu => cuda_kernels::unary::Activation::Gelu,
        Activation::GeluTanh => cuda_kernels::unary::Activation::GeluTanh,
        Activation::QuickGelu => cuda_kernels::unary::Activation::QuickGelu,
    }
}

/// The operation as the CUDA kernels have it.
pub(super) fn binary_on_gpu(operation: BinaryOperation) -> cuda_kernels::binary::BinaryOperation {
    use cuda_kernels::binary::BinaryOperation as OnGpu;
    match operation {
        BinaryOperation::Add => OnGpu::Add,
        BinaryOperation::Subtract => OnGpu::Subtract,
        BinaryOperation::Multiply => OnGpu::Multiply,
        BinaryOperation::Divide => OnGpu::Divide,
        BinaryOperation::Maximum => OnGpu::Maximum,
        BinaryOperation::Minimum => OnGpu::Minimum,
    }
}
