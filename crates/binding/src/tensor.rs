//! Tensor handles: making, viewing, reading and disposing.

use crate::error;
use crate::stream::cpu;
use napi::bindgen_prelude::*;
use napi_derive::napi;
use tensor_runtime::{DType, Device, Tensor, operations};

/// A handle to a tensor. `dispose` lets go of its storage at once; the collector does it late.
#[napi]
pub struct NativeTensor {
    tensor: Option<Tensor>,
}

impl From<Tensor> for NativeTensor {
    fn from(tensor: Tensor) -> Self {
        NativeTensor { tensor: Some(tensor) }
    }
}

impl NativeTensor {
    /// The tensor, unless it was disposed.
    pub fn get(&self) -> Result<&Tensor> {
        self.tensor.as_ref().ok_or_else(|| {
            error::argument("tensor", "tensor", "one that is not disposed", "disposed")
        })
    }
}

/// Sizes as JavaScript's numbers.
pub fn to_numbers(sizes: &[usize]) -> Vec<f64> {
    sizes.iter().map(|&size| size as f64).collect()
}

/// Sizes from JavaScript's numbers: whole, not negative, exact.
pub fn to_sizes(operation: &'static str, name: &str, numbers: &[f64]) -> Result<Vec<usize>> {
    numbers.iter().map(|&number| to_size(operation, name, number)).collect()
}

/// One size from a JavaScript number.
pub fn to_size(operation: &'static str, name: &str, number: f64) -> Result<usize> {
    if number.fract() != 0.0 || !(0.0..=9_007_199_254_740_991.0).contains(&number) {
        return Err(error::argument(operation, name, "whole and not negative", number));
    }
    Ok(number as usize)
}

/// An element type from its name.
pub fn to_dtype(operation: &'static str, name: &str) -> Result<DType> {
    DType::from_name(name).ok_or_else(|| {
        let known: Vec<_> = DType::ALL.iter().map(|dtype| dtype.name()).collect();
        error::argument(operation, "dtype", format!("one of {}", known.join(", ")), name)
    })
}

/// A device from its name.
pub fn to_device(operation: &'static str, name: &str) -> Result<Device> {
    Device::from_name(name)
        .ok_or_else(|| error::argument(operation, "device", "cpu or cuda:N", name))
}

#[napi]
impl NativeTensor {
    /// A tensor that holds a copy of `bytes`.
    #[napi(factory, catch_unwind)]
    pub fn from_bytes(bytes: &[u8], dtype: String, shape: Vec<f64>) -> Result<Self> {
        let dtype = to_dtype("tensor", &dtype)?;
        let shape = to_sizes("tensor", "shape", &shape)?;
        cpu()
            .store(bytes)
            .and_then(|storage| Tensor::new(storage, dtype, &shape))
            .map(Self::from)
            .map_err(error::from_runtime)
    }

    /// The element type's name.
    #[napi(getter, catch_unwind)]
    pub fn dtype(&self) -> Result<&'static str> {
        Ok(self.get()?.dtype().name())
    }

    /// Where the tensor lives.
    #[napi(getter, catch_unwind)]
    pub fn device(&self) -> Result<String> {
        Ok(self.get()?.device().to_string())
    }

    /// The same values on another device; `ahead` beside what it computes.
    #[napi(catch_unwind)]
    pub fn to_device(&self, device: String, ahead: bool) -> Result<NativeTensor> {
        let device = to_device("toDevice", &device)?;
        let move_to = if ahead { operations::to_device_ahead } else { operations::to_device };
        move_to(cpu(), self.get()?, device).map(Self::from).map_err(error::from_runtime)
    }

    /// Elements along each dimension.
    #[napi(getter, catch_unwind)]
    pub fn shape(&self) -> Result<Vec<f64>> {
        Ok(to_numbers(self.get()?.shape()))
    }

    /// Elements to skip along each dimension.
    #[napi(getter, catch_unwind)]
    pub fn strides(&self) -> Result<Vec<f64>> {
        Ok(to_numbers(self.get()?.strides()))
    }

    /// Whether the elements lie in row-major order without gaps.
    #[napi(getter, catch_unwind)]
    pub fn is_contiguous(&self) -> Result<bool> {
        Ok(self.get()?.is_contiguous())
    }

    /// Whether the elements are read in place from a mapped file.
    #[napi(getter, catch_unwind)]
    pub fn is_mapped(&self) -> Result<bool> {
        Ok(self.get()?.is_borrowed())
    }

    /// The same elements in another shape, or null where that takes a copy.
    #[napi(catch_unwind)]
    pub fn reshape(&self, shape: Vec<f64>) -> Result<Option<NativeTensor>> {
        let shape = to_sizes("reshape", "shape", &shape)?;
        let view = self.get()?.reshaped(&shape).map_err(error::from_runtime)?;
        Ok(view.map(Self::from))
    }

    /// Dimensions in another order.
    #[napi(catch_unwind)]
    pub fn permute(&self, dims: Vec<f64>) -> Result<NativeTensor> {
        let dims = to_sizes("permute", "dims", &dims)?;
        self.get()?.permuted(&dims).map(Self::from).map_err(error::from_runtime)
    }

    /// Elements `start..end` along `dim`.
    #[napi(catch_unwind)]
    pub fn slice(&self, dim: f64, start: f64, end: f64) -> Result<NativeTensor> {
        let dim = to_size("slice", "dim", dim)?;
        let start = to_size("slice", "start", start)?;
        let end = to_size("slice", "end", end)?;
        self.get()?.sliced(dim, start, end).map(Self::from).map_err(error::from_runtime)
    }

    /// Dimensions of size 1 repeated.
    #[napi(catch_unwind)]
    pub fn expand(&self, shape: Vec<f64>) -> Result<NativeTensor> {
        let shape = to_sizes("expand", "shape", &shape)?;
        self.get()?.expanded(&shape).map(Self::from).map_err(error::from_runtime)
    }

    /// Another handle to the same view.
    #[napi(catch_unwind)]
    pub fn share(&self) -> Result<NativeTensor> {
        Ok(self.get()?.clone().into())
    }

    /// The bytes in row-major order, once they are computed.
    #[napi(catch_unwind, ts_return_type = "Promise<Uint8Array>")]
    pub fn read<'env>(&self, env: &'env Env) -> Result<Object<'env>> {
        let tensor = self.get()?.clone();
        let (deferred, promise) = env.create_deferred::<Uint8Array, _>()?;
        cpu().read(tensor, move |bytes| match bytes {
            Ok(bytes) => deferred.resolve(Box::new(move |_| Ok(bytes.into()))
                as Box<dyn FnOnce(Env) -> Result<Uint8Array> + Send>),
            Err(failure) => deferred.reject(error::from_runtime(failure)),
        });
        Ok(promise)
    }

    /// The bytes in row-major order; blocks the JavaScript thread until they are computed.
    #[napi(catch_unwind)]
    pub fn read_blocking(&self) -> Result<Uint8Array> {
        cpu().read_blocking(self.get()?.clone()).map(Uint8Array::from).map_err(error::from_runtime)
    }

    /// Lets go of the storage. A second call does nothing.
    #[napi(catch_unwind)]
    pub fn dispose(&mut self) {
        self.tensor = None;
    }

    /// Whether `dispose` was called.
    #[napi(getter, catch_unwind)]
    pub fn is_disposed(&self) -> bool {
        self.tensor.is_none()
    }
}
