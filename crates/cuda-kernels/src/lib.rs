//! CUDA kernels of wan-ts, compiled ahead of time, and the functions that launch them.
//!
//! The counterpart of `cpu-kernels`: functions of the same names over views of device memory. A
//! launching function gets a [`Gpu`], queues its kernels on the device's compute stream and
//! returns; outputs are contiguous.
//!
//! Kernels are written in Triton (`kernels/*.py`) and compiled by `kernels/compile.py` into
//! `generated/`, for which neither Python nor a CUDA toolkit is needed afterwards. Like the CPU's
//! kernels they compute a row by the same instructions in the same order however many rows there
//! are.

pub mod attention;
mod attentions;
pub mod binary;
pub mod combination;
pub mod conv;
pub mod cudnn_attention;
pub mod embedding;
pub mod finite;
mod gpu;
pub mod linear;
pub mod mean;
pub mod merge;
pub mod movement;
pub mod normalization;
mod number;
mod pack;
mod pipelined_attention;
mod products;
pub mod quantization;
pub mod rotary;
mod rows;
#[cfg(test)]
mod testing;
pub mod unary;
mod view;
mod walk;

pub use attentions::Attentions;
pub use gpu::Gpu;
pub use products::Products;
pub use tensor_layout::{DType, Layout};
pub use view::DeviceView;
