//! cuBLASLt's functions and numbers as `cublasLt.h` of version 13.4 declares them, the same since
//! version 12. Nothing here checks.

use crate::sys::StreamHandle;
use crate::table::function_table;
use std::ffi::{c_char, c_int, c_void};

/// `cublasStatus_t`.
pub type Status = c_int;
/// `cublasLtHandle_t`, `cublasLtMatmulDesc_t`, `cublasLtMatrixLayout_t`,
/// `cublasLtMatmulPreference_t`: all opaque.
pub type Handle = *mut c_void;

/// `cublasLtMatmulAlgo_t`: copied and passed back, never looked into.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Algorithm(pub [u64; 8]);

/// `cublasLtMatmulHeuristicResult_t`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct HeuristicResult {
    pub algorithm: Algorithm,
    pub workspace_size: usize,
    pub state: Status,
    pub waves_count: f32,
    pub reserved: [c_int; 4],
}

pub const CUBLAS_STATUS_SUCCESS: Status = 0;
pub const CUBLAS_STATUS_ALLOC_FAILED: Status = 3;
pub const CUBLAS_STATUS_INVALID_VALUE: Status = 7;
pub const CUBLAS_STATUS_ARCH_MISMATCH: Status = 8;
pub const CUBLAS_STATUS_NOT_SUPPORTED: Status = 15;

pub const CUDA_R_32F: c_int = 0;
pub const CUDA_R_16F: c_int = 2;
pub const CUDA_R_16BF: c_int = 14;
pub const CUBLAS_COMPUTE_32F: c_int = 68;

pub const CUBLASLT_MATMUL_DESC_TRANSA: c_int = 3;
pub const CUBLASLT_MATMUL_DESC_EPILOGUE: c_int = 7;
pub const CUBLASLT_MATMUL_DESC_BIAS_POINTER: c_int = 8;
pub const CUBLAS_OP_T: c_int = 1;
pub const CUBLASLT_EPILOGUE_BIAS: c_int = 4;

pub const CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES: c_int = 1;
pub const CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK: c_int = 3;
pub const CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES: c_int = 5;
pub const CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES: c_int = 6;
pub const CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES: c_int = 7;
pub const CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES: c_int = 8;
pub const CUBLASLT_REDUCTION_SCHEME_NONE: u32 = 0;

function_table! {
    /// What is used of cuBLASLt.
    Functions {
        fn cublasLtGetVersion() -> usize;
        fn cublasLtGetStatusName(status: Status) -> *const c_char;
        fn cublasLtGetStatusString(status: Status) -> *const c_char;
        fn cublasLtCreate(handle: *mut Handle) -> Status;
        fn cublasLtDestroy(handle: Handle) -> Status;
        fn cublasLtMatmulDescCreate(
            descriptor: *mut Handle, compute_type: c_int, scale_type: c_int,
        ) -> Status;
        fn cublasLtMatmulDescSetAttribute(
            descriptor: Handle, attribute: c_int, value: *const c_void, bytes: usize,
        ) -> Status;
        fn cublasLtMatmulDescDestroy(descriptor: Handle) -> Status;
        fn cublasLtMatrixLayoutCreate(
            layout: *mut Handle, element_type: c_int, rows: u64, columns: u64, leading: i64,
        ) -> Status;
        fn cublasLtMatrixLayoutDestroy(layout: Handle) -> Status;
        fn cublasLtMatmulPreferenceCreate(preference: *mut Handle) -> Status;
        fn cublasLtMatmulPreferenceSetAttribute(
            preference: Handle, attribute: c_int, value: *const c_void, bytes: usize,
        ) -> Status;
        fn cublasLtMatmulPreferenceDestroy(preference: Handle) -> Status;
        fn cublasLtMatmulAlgoGetHeuristic(
            handle: Handle,
            descriptor: Handle,
            a: Handle,
            b: Handle,
            c: Handle,
            d: Handle,
            preference: Handle,
            requested: c_int,
            results: *mut HeuristicResult,
            returned: *mut c_int,
        ) -> Status;
        fn cublasLtMatmulAlgoCheck(
            handle: Handle,
            descriptor: Handle,
            a: Handle,
            b: Handle,
            c: Handle,
            d: Handle,
            algorithm: *const Algorithm,
            result: *mut HeuristicResult,
        ) -> Status;
        fn cublasLtMatmul(
            handle: Handle,
            descriptor: Handle,
            alpha: *const c_void,
            a: u64,
            a_layout: Handle,
            b: u64,
            b_layout: Handle,
            beta: *const c_void,
            c: u64,
            c_layout: Handle,
            d: u64,
            d_layout: Handle,
            algorithm: *const Algorithm,
            workspace: u64,
            workspace_bytes: usize,
            stream: StreamHandle,
        ) -> Status;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::{offset_of, size_of};

    #[test]
    fn structures_lie_as_in_the_header() {
        assert_eq!((size_of::<Algorithm>(), align_of::<Algorithm>()), (64, 8));
        assert_eq!(size_of::<HeuristicResult>(), 96);
        assert_eq!(offset_of!(HeuristicResult, workspace_size), 64);
        assert_eq!(offset_of!(HeuristicResult, state), 72);
        assert_eq!(offset_of!(HeuristicResult, waves_count), 76);
    }
}
