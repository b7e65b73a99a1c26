//! What computes linear layers.

use cuda::cublaslt::CublasLt;
use cuda::{CudaError, CudaErrorCode, Device};
use std::sync::Arc;

/// What computes linear layers on a device, by its name in `WAN_CUDA_LINEAR`. It is chosen when the
/// device is opened and stays: nothing falls back from one to the other.
pub enum Products {
    /// `own`, and where nothing is said: this crate's kernels. A row doesn't depend on the others.
    Own,
    /// `cublaslt`: NVIDIA's library, with one algorithm for each weight. A row doesn't depend on the
    /// number of rows as far as the library lets one algorithm take any number (see
    /// [`cuda::cublaslt`]).
    CublasLt(Box<CublasLt>),
}

impl Products {
    /// Opens what is asked for.
    ///
    /// # Errors
    ///
    /// `Unsupported` for another name, and where the library isn't there.
    pub(crate) fn open(asked: Option<&str>, device: &Arc<Device>) -> Result<Products, CudaError> {
        match asked {
            None | Some("" | "own") => Ok(Products::Own),
            Some("cublaslt") => Ok(Products::CublasLt(Box::new(CublasLt::open(device)?))),
            Some(other) => Err(CudaError {
                code: CudaErrorCode::Unsupported,
                function: "linear",
                name: String::new(),
                message: format!("WAN_CUDA_LINEAR must be own or cublaslt, but is {other:?}"),
            }),
        }
    }

    /// The name, with the library's version.
    pub fn describe(&self) -> String {
        match self {
            Products::Own => "own".into(),
            Products::CublasLt(library) => {
                let (major, minor, patch) = library.version();
                format!("cublaslt {major}.{minor}.{patch}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::gpu;

    #[test]
    fn is_asked_for_by_name() {
        let gpu = gpu();
        let open = |asked| Products::open(asked, gpu.device());
        for own in [None, Some(""), Some("own")] {
            assert_eq!(open(own).map(|products| products.describe()), Ok("own".into()));
        }
        let error = open(Some("cublas")).map(|products| products.describe()).unwrap_err();
        let said = "WAN_CUDA_LINEAR must be own or cublaslt, but is \"cublas\"";
        assert!(error.to_string().contains(said), "{error}");
    }
}
