//! The linear layer.

pub use crate::gemm::epilogue::Activation;
use crate::gemm::format::Format;
use crate::gemm::number::{Brain, Half, Number, Single};
use crate::gemm::operand::{Depth, Matrix};
use crate::gemm::{Product, multiply};
use crate::{Cpu, DType, TensorMut, TensorRef};

/// output = activation(input · weightᵀ + bias), as torch's `nn.Linear` followed by its activation.
///
/// `input` is (rows, K) with consecutive elements along K and any distance between rows, `weight`
/// (N, K) and `bias` (N) are contiguous, `output` is (rows, N). All have one element type:
/// `Float32`, `BFloat16` or `Float16`. Sums are kept in `f32` and rounded once, after the bias;
/// the activation reads the rounded value and its result is rounded again, as two separate
/// operations would.
///
/// The bytes of an output row depend on the input row, weight, bias and instruction set alone.
///
/// # Panics
/// Where shapes, strides or element types are other than that.
pub fn linear(
    cpu: &Cpu,
    input: &TensorRef,
    weight: &TensorRef,
    bias: Option<&TensorRef>,
    activation: Activation,
    output: &TensorMut,
) {
    match input.dtype {
        DType::Float32 => linear_of::<Single>(cpu, input, weight, bias, activation, output),
        DType::BFloat16 => linear_of::<Brain>(cpu, input, weight, bias, activation, output),
        DType::Float16 => linear_of::<Half>(cpu, input, weight, bias, activation, output),
        other => panic!("linear: input is {}, expected a floating-point type", other.name()),
    }
}

fn linear_of<N: Format>(
    cpu: &Cpu,
    input: &TensorRef,
    weight: &TensorRef,
    bias: Option<&TensorRef>,
    activation: Activation,
    output: &TensorMut,
) {
    let &[rows, channels] = input.shape() else {
        panic!("linear: input has shape {:?}, expected (rows, K)", input.shape());
    };
    let &[columns, weight_channels] = weight.shape() else {
        panic!("linear: weight has shape {:?}, expected (N, K)", weight.shape());
    };
    assert!(
        channels == weight_channels,
        "linear: input rows have {channels} elements, weight rows {weight_channels}"
    );
    assert!(
        channels <= 1 || input.strides()[1] == 1,
        "linear: input has strides {:?}, expected 1 along K",
        input.strides()
    );
    assert!(
        channels == 0 || weight.layout.is_contiguous(),
        "linear: weight has strides {:?}, expected contiguous rows",
        weight.strides()
    );
    assert!(
        output.shape() == [rows, columns],
        "linear: output has shape {:?}, expected {:?}",
        output.shape(),
        [rows, columns]
    );
    for (name, dtype) in [("weight", weight.dtype), ("output", output.dtype)] {
        assert!(dtype == N::DTYPE, "linear: {name} is {}, input {}", dtype.name(), N::DTYPE.name());
    }
    let bias = bias.map_or_else(Vec::new, |bias| widened_bias::<N>("linear", bias, columns));
    // SAFETY: the views promise initialised operands and an output of our own; their shapes are
    // checked above.
    unsafe {
        let left = Matrix::new(input.as_ptr::<N::Element>(), input.strides()[0], channels);
        let right = Matrix::new(weight.as_ptr::<N::Element>(), channels, channels);
        let product = Product {
            rows,
            columns,
            depth: Depth { taps: 1, channels },
            bias: &bias,
            activation,
            output: output.as_mut_ptr::<N::Element>(),
        };
        multiply::<N>(cpu, &left, &right, &product);
    }
}

/// The values of a bias of `count` elements of format `N`.
///
/// # Panics
/// Where it is of another shape or type.
pub(crate) fn widened_bias<N: Number>(operation: &str, bias: &TensorRef, count: usize) -> Vec<f32> {
    assert!(
        bias.shape() == [count],
        "{operation}: bias has shape {:?}, expected {:?}",
        bias.shape(),
        [count]
    );
    assert!(
        bias.dtype == N::DTYPE,
        "{operation}: bias is {}, input {}",
        bias.dtype.name(),
        N::DTYPE.name()
    );
    assert!(bias.layout.is_contiguous(), "{operation}: bias is not contiguous");
    // SAFETY: the view promises that its elements are initialised; there are `count`.
    let elements = unsafe { std::slice::from_raw_parts(bias.as_ptr::<N::Element>(), count) };
    elements.iter().map(|&element| N::widen(element)).collect()
}

#[cfg(test)]
#[path = "linear_tests.rs"]
mod tests;
