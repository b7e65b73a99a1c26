//! Linear layers by cuBLASLt.
//!
//! # What a row depends on
//!
//! cuBLASLt has many algorithms for one product, which add in different orders, and its heuristic
//! chooses by the number of rows too. Here the algorithm for a weight is chosen once, as if there
//! were [`REFERENCE_ROWS`] rows, and used for any number of them. Only algorithms that take the sum
//! over K in one sequence are asked for: none that splits it over blocks and adds the parts. So
//! there is no order left that could depend on the rows, as far as cuBLASLt tells.
//!
//! Where that doesn't hold: an algorithm that refuses a number of rows (`cublasLtMatmulAlgoCheck`)
//! is replaced for that number by what the heuristic chooses for it; addresses and row distances
//! that are no multiples of 16 bytes get an algorithm of their own; and NVIDIA promises equal bytes
//! for equal calls on one kind of device and version of the library, not for one row in two calls.
//!
//! # Rounding
//!
//! Sums and bias are kept in float32 and rounded once; float32 products are exact float32, without
//! TF32. cuBLASLt could apply GELU as well, but to the sum before it is rounded, where the
//! layer's activation reads the rounded sum, as two operations in torch do: so it isn't offered,
//! and the activation is a kernel of its own.

mod choice;
mod library;
mod sys;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;

use crate::device::{Device, Stream};
use crate::error::{CudaError, CudaErrorCode};
use crate::libraries::SearchPaths;
use crate::memory::DeviceMemory;
use crate::table::Symbols;
use choice::{Choice, Choices, Weight};
use library::{Api, Description, call};
use std::ffi::{c_int, c_void};
use std::path::Path;
use std::sync::{Arc, Mutex};
use sys::Handle;
use tensor_layout::DType;

/// The number of rows that algorithms are chosen for: enough to fill any device, and of the order
/// of a video's tokens.
pub const REFERENCE_ROWS: usize = 4096;
/// Addresses and rows that begin on multiples of it can be read by the widest instructions.
const ALIGNMENT: u64 = 16;
/// Scratch memory that algorithms may use; NVIDIA's manual recommends 32 MiB from 9.0 on, 4 MiB
/// before.
const WORKSPACE_BYTES: usize = 32 << 20;
const WORKSPACE_BYTES_BEFORE_9_0: usize = 4 << 20;
/// cuBLASLt on one device, on whose compute stream its products run.
pub struct CublasLt {
    // Fields are dropped in this order.
    handle: LibraryHandle,
    workspace: DeviceMemory,
    choices: Mutex<Choices>,
}

struct LibraryHandle {
    handle: Handle,
    api: Api,
    device: Arc<Device>,
}

// SAFETY: the library takes its handle from any thread, several at once (cublasLt's manual, thread
// safety).
unsafe impl Send for LibraryHandle {}
// SAFETY: as above.
unsafe impl Sync for LibraryHandle {}

impl Drop for LibraryHandle {
    fn drop(&mut self) {
        // Nobody is left to be told of a failure.
        let _ = self.device.make_current();
        // SAFETY: created in `CublasLt::with`, destroyed once; the library waits for nothing of it.
        let _ = unsafe { call!(self.api, cublasLtDestroy(self.handle)) };
    }
}

/// One product, with everything that describes it.
struct Product<'a> {
    description: Description<'a>,
    weight: Description<'a>,
    input: Description<'a>,
    output: Description<'a>,
}

impl CublasLt {
    /// Opens the library where it is found, the newest that the device's driver can be used with.
    ///
    /// # Errors
    ///
    /// `Unsupported` with what was tried where there is none, `OutOfMemory` where the device has no
    /// room for its workspace; otherwise what the library says.
    pub fn open(device: &Arc<Device>) -> Result<CublasLt, CudaError> {
        let api = Api::open(&SearchPaths::from_environment(), device.driver().version())?;
        CublasLt::with(api, device)
    }

    /// A library of functions that are in this process already, such as a test's.
    ///
    /// # Safety
    ///
    /// What `symbol` gives for a name is a function of the signature that `cublasLt.h` gives that
    /// name, keeps that function's contract, and stays for the rest of the process.
    ///
    /// # Errors
    ///
    /// As [`CublasLt::open`]; `Unsupported` names every function that is missing.
    pub unsafe fn with_symbols(
        device: &Arc<Device>,
        symbol: Symbols,
    ) -> Result<CublasLt, CudaError> {
        // SAFETY: the caller vouches for the functions.
        CublasLt::with(unsafe { Api::load(symbol) }?, device)
    }

    fn with(api: Api, device: &Arc<Device>) -> Result<CublasLt, CudaError> {
        device.make_current()?;
        let mut handle = std::ptr::null_mut();
        // SAFETY: writes one handle, for the context that is current.
        unsafe { call!(api, cublasLtCreate(&mut handle)) }?;
        let handle = LibraryHandle { handle, api, device: device.clone() };
        let bytes = match device.compute_capability() {
            (9.., _) => WORKSPACE_BYTES,
            _ => WORKSPACE_BYTES_BEFORE_9_0,
        };
        let workspace =
            device.allocate(bytes).map_err(|error| error.while_doing("cuBLASLt's workspace"))?;
        Ok(CublasLt { handle, workspace, choices: Mutex::default() })
    }

    /// The library's version, as (major, minor, patch).
    pub fn version(&self) -> (usize, usize, usize) {
        // SAFETY: no condition.
        let version = unsafe { (self.handle.api.functions.cublasLtGetVersion)() };
        (version / 10_000, version / 100 % 100, version % 100)
    }

    /// The library's file; `None` for [`CublasLt::with_symbols`].
    pub fn path(&self) -> Option<&Path> {
        self.handle.api.library.as_ref().map(|library| library.path())
    }

    /// Queues output = input · weightᵀ + bias on the device's compute stream.
    ///
    /// All are matrices of rows: `input` (m, k) whose rows begin `input_stride` elements apart,
    /// `weight` (n, k) and `output` (m, n) contiguous, `bias` (n). All are of `dtype`: float32,
    /// bfloat16 or float16. Sums are kept in float32 and rounded once, after the bias.
    ///
    /// # Safety
    ///
    /// The addresses are of that many elements of this device's memory, aligned to an element,
    /// which live until the product is done; `output` overlaps none of the others.
    ///
    /// # Errors
    ///
    /// `Unsupported` for other element types, for k of 0, and where cuBLASLt has no algorithm;
    /// `Failed` for an `input_stride` below k; otherwise what the library says.
    #[allow(clippy::too_many_arguments)] // The product's own, in the order that BLAS has them.
    pub unsafe fn linear(
        &self,
        dtype: DType,
        m: usize,
        n: usize,
        k: usize,
        input: u64,
        input_stride: usize,
        weight: u64,
        bias: Option<u64>,
        output: u64,
    ) -> Result<(), CudaError> {
        let describe = || {
            let name = dtype.name();
            format!("linear of {name}, ({m}, {k}) rows {input_stride} apart by ({n}, {k})")
        };
        let refuse = |code, why: &str| {
            Err(CudaError::refused(code, "cublasLtMatmul", format!("{}: {why}", describe())))
        };
        let element_type = match dtype {
            DType::Float32 => sys::CUDA_R_32F,
            DType::BFloat16 => sys::CUDA_R_16BF,
            DType::Float16 => sys::CUDA_R_16F,
            _ => return refuse(CudaErrorCode::Unsupported, "not a floating-point type"),
        };
        if m == 0 || n == 0 {
            return Ok(());
        }
        if k == 0 {
            return refuse(CudaErrorCode::Unsupported, "cuBLASLt has no empty sums");
        }
        if m > 1 && input_stride < k {
            return refuse(CudaErrorCode::Failed, "rows overlap");
        }
        // The distance between rows means nothing where there is one.
        let input_stride = if m == 1 { k } else { input_stride };
        let row_bytes = (input_stride * dtype.size()) as u64;
        let starts = [input, row_bytes, weight, bias.unwrap_or(0), output];
        let aligned = starts.iter().all(|start| start.is_multiple_of(ALIGNMENT));
        let key = Weight { dtype, n, k, bias: bias.is_some(), aligned };
        self.handle.device.make_current()?;
        self.choose(key, element_type, m, input_stride, bias)
            .and_then(|(product, choice)| {
                // SAFETY: the caller vouches for the addresses, the descriptions are of them.
                unsafe { self.multiply(&product, &choice, input, weight, output) }
            })
            .map_err(|error| error.while_doing(describe()))
    }

    /// Describes output = input · weightᵀ + bias to a library whose matrices lie by columns: what it
    /// computes is outputᵀ (n, m) = weight (n, k) · inputᵀ (k, m). Read by columns, each matrix is
    /// its own transpose already, the weight alone is to be transposed back.
    fn product(
        &self,
        key: Weight,
        element_type: c_int,
        m: usize,
        input_stride: usize,
        bias: Option<u64>,
    ) -> Result<Product<'_>, CudaError> {
        let api = &self.handle.api;
        let description = Description::product(api)?;
        if let Some(bias) = bias {
            let epilogue = sys::CUBLASLT_EPILOGUE_BIAS;
            description.set_product(sys::CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue)?;
            description.set_product(sys::CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias)?;
        }
        let Weight { n, k, .. } = key;
        Ok(Product {
            description,
            weight: Description::matrix(api, element_type, k, n, k)?,
            input: Description::matrix(api, element_type, k, m, input_stride)?,
            output: Description::matrix(api, element_type, n, m, n)?,
        })
    }

    /// # Safety
    ///
    /// As [`CublasLt::linear`], for the matrices that `product` describes.
    unsafe fn multiply(
        &self,
        product: &Product,
        choice: &Choice,
        input: u64,
        weight: u64,
        output: u64,
    ) -> Result<(), CudaError> {
        let (one, zero) = (1f32, 0f32);
        let pointer = |factor: &f32| -> *const c_void { std::ptr::from_ref(factor).cast() };
        let (a, b, d) = (product.weight.handle, product.input.handle, product.output.handle);
        // SAFETY: the caller vouches for the addresses; products on one stream use the workspace
        // one after the other; the library keeps none of the host's pointers.
        unsafe {
            call!(
                self.handle.api,
                cublasLtMatmul(
                    self.handle.handle,
                    product.description.handle,
                    pointer(&one),
                    weight,
                    a,
                    input,
                    b,
                    pointer(&zero),
                    output,
                    d,
                    output,
                    d,
                    &choice.algorithm,
                    self.workspace.address(),
                    choice.workspace_bytes,
                    self.handle.device.stream(Stream::Compute),
                )
            )
        }
    }
}
