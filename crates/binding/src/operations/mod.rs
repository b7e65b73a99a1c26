//! Operations: arguments apart, one call, the result as a handle.

mod arithmetic;
mod cudnn;
mod movement;
mod normalization;
mod products;
mod quantization;

use crate::error::{self, from_runtime};
use crate::stream::cpu;
use crate::tensor::{NativeTensor, to_device, to_dtype, to_size, to_sizes};
use napi::bindgen_prelude::*;
use napi_derive::napi;
use tensor_runtime::operations::{
    self, Activation, BinaryOperation, ChannelNormOptions, LayerNormOptions, RmsNormOptions,
};
use tensor_runtime::{RuntimeError, Tensor};

fn handle(result: std::result::Result<Tensor, RuntimeError>) -> Result<NativeTensor> {
    result.map(NativeTensor::from).map_err(from_runtime)
}

fn optional(tensor: Option<&NativeTensor>) -> Result<Option<Tensor>> {
    tensor.map(|tensor| tensor.get().cloned()).transpose()
}

fn handles<const N: usize>(
    result: std::result::Result<[Tensor; N], RuntimeError>,
) -> Result<Vec<NativeTensor>> {
    Ok(result.map_err(from_runtime)?.into_iter().map(NativeTensor::from).collect())
}

fn all(tensors: Vec<&NativeTensor>) -> Result<Vec<Tensor>> {
    tensors.into_iter().map(|tensor| tensor.get().cloned()).collect()
}

fn to_binary(name: &str) -> Result<BinaryOperation> {
    Ok(match name {
        "add" => BinaryOperation::Add,
        "subtract" => BinaryOperation::Subtract,
        "multiply" => BinaryOperation::Multiply,
        "divide" => BinaryOperation::Divide,
        "maximum" => BinaryOperation::Maximum,
        "minimum" => BinaryOperation::Minimum,
        _ => {
            return Err(error::argument(
                "binary",
                "operation",
                "one of add, subtract, multiply, divide, maximum, minimum",
                name,
            ));
        }
    })
}

fn to_activation(operation: &'static str, name: &str) -> Result<Activation> {
    Ok(match name {
        "none" => Activation::None,
        "silu" => Activation::Silu,
        "gelu" => Activation::Gelu,
        "geluTanh" => Activation::GeluTanh,
        "quickGelu" => Activation::QuickGelu,
        _ => {
            return Err(error::argument(
                operation,
                "activation",
                "one of none, silu, gelu, geluTanh, quickGelu",
                name,
            ));
        }
    })
}

fn three(operation: &'static str, name: &str, numbers: &[f64]) -> Result<[usize; 3]> {
    to_sizes(operation, name, numbers)?.try_into().map_err(|sizes: Vec<usize>| {
        error::argument(operation, name, "three numbers: time, height, width", format!("{sizes:?}"))
    })
}

fn pairs(operation: &'static str, name: &str, numbers: &[Vec<f64>]) -> Result<Vec<[usize; 2]>> {
    numbers
        .iter()
        .map(|pair| {
            to_sizes(operation, name, pair)?.try_into().map_err(|sizes: Vec<usize>| {
                error::argument(operation, name, "pairs of before and after", format!("{sizes:?}"))
            })
        })
        .collect()
}
