//! Choosing algorithms, by the weight and not by the rows.

use super::library::{Description, call};
use super::sys::{self, Algorithm, HeuristicResult};
use super::{ALIGNMENT, CublasLt, Product, REFERENCE_ROWS};
use crate::error::CudaError;
use crate::lock;
use std::collections::HashMap;
use std::ffi::c_int;
use tensor_layout::DType;

/// Choices that are remembered, before all but those for the reference are forgotten.
const REMEMBERED: usize = 4096;

/// What an algorithm is chosen by: all but the rows.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Weight {
    pub dtype: DType,
    pub n: usize,
    pub k: usize,
    pub bias: bool,
    /// Whether addresses and rows of the input begin on multiples of [`ALIGNMENT`].
    pub aligned: bool,
}

#[derive(Clone, Copy)]
pub(super) struct Choice {
    pub algorithm: Algorithm,
    pub workspace_bytes: usize,
}

#[derive(Default)]
pub(super) struct Choices {
    /// For [`REFERENCE_ROWS`].
    reference: HashMap<Weight, Choice>,
    /// For other numbers of rows, and rows further apart: the reference's, checked, or one's own.
    others: HashMap<(Weight, usize, usize), Choice>,
}

impl CublasLt {
    /// The product and the algorithm to compute it by.
    pub(super) fn choose(
        &self,
        key: Weight,
        element_type: c_int,
        m: usize,
        input_stride: usize,
        bias: Option<u64>,
    ) -> Result<(Product<'_>, Choice), CudaError> {
        let product = self.product(key, element_type, m, input_stride, bias)?;
        let mut choices = lock(&self.choices);
        if let Some(choice) = choices.others.get(&(key, m, input_stride)) {
            return Ok((product, *choice));
        }
        let reference = match choices.reference.get(&key) {
            Some(choice) => *choice,
            None => {
                let product = self.product(key, element_type, REFERENCE_ROWS, key.k, bias)?;
                let choice = self.ask(&product, key)?;
                choices.reference.insert(key, choice);
                choice
            }
        };
        let choice = match self.fits(&product, &reference.algorithm)? {
            Some(choice) => choice,
            None => self.ask(&product, key)?,
        };
        if choices.others.len() >= REMEMBERED {
            choices.others.clear();
        }
        choices.others.insert((key, m, input_stride), choice);
        Ok((product, choice))
    }

    /// The heuristic's first algorithm that takes each sum in one sequence.
    fn ask(&self, product: &Product, key: Weight) -> Result<Choice, CudaError> {
        let api = &self.handle.api;
        let preference = Description::preference(api)?;
        let workspace_bytes = self.workspace.bytes();
        preference
            .set_preference(sys::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace_bytes)?;
        let reduction = sys::CUBLASLT_REDUCTION_SCHEME_NONE;
        preference.set_preference(sys::CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &reduction)?;
        let alignment = if key.aligned { ALIGNMENT as u32 } else { key.dtype.size() as u32 };
        for matrix in [
            sys::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES,
            sys::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
            sys::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
            sys::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES,
        ] {
            preference.set_preference(matrix, &alignment)?;
        }
        let mut result = HeuristicResult::default();
        let mut returned = 0;
        // SAFETY: live descriptions of one product; writes at most one result.
        unsafe {
            call!(
                api,
                cublasLtMatmulAlgoGetHeuristic(
                    self.handle.handle,
                    product.description.handle,
                    product.weight.handle,
                    product.input.handle,
                    product.output.handle,
                    product.output.handle,
                    preference.handle,
                    1,
                    &mut result,
                    &mut returned,
                )
            )
        }?;
        let status = if returned > 0 { result.state } else { sys::CUBLAS_STATUS_NOT_SUPPORTED };
        api.check("cublasLtMatmulAlgoGetHeuristic", status)?;
        Ok(Choice { algorithm: result.algorithm, workspace_bytes: result.workspace_size })
    }

    /// The algorithm as a choice for this product, if it can compute it.
    fn fits(&self, product: &Product, algorithm: &Algorithm) -> Result<Option<Choice>, CudaError> {
        let api = &self.handle.api;
        let mut result = HeuristicResult::default();
        // SAFETY: live descriptions of one product; writes the result.
        let status = unsafe {
            (api.functions.cublasLtMatmulAlgoCheck)(
                self.handle.handle,
                product.description.handle,
                product.weight.handle,
                product.input.handle,
                product.output.handle,
                product.output.handle,
                algorithm,
                &mut result,
            )
        };
        match status {
            sys::CUBLAS_STATUS_NOT_SUPPORTED | sys::CUBLAS_STATUS_INVALID_VALUE => return Ok(None),
            _ => api.check("cublasLtMatmulAlgoCheck", status)?,
        }
        let fits = result.workspace_size <= self.workspace.bytes();
        Ok(fits.then_some(Choice { algorithm: *algorithm, workspace_bytes: result.workspace_size }))
    }
}
