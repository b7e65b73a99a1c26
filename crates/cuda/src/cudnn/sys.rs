//! cuDNN's functions and numbers as `cudnn_graph.h` of version 9 declares them. Nothing here checks.

use crate::sys::StreamHandle;
use crate::table::function_table;
use std::ffi::{c_char, c_int, c_void};

/// `cudnnStatus_t`.
pub type Status = c_int;
/// `cudnnBackendDescriptorType_t`.
pub type DescriptorKind = c_int;
/// `cudnnBackendAttributeName_t`.
pub type AttributeName = c_int;
/// `cudnnBackendAttributeType_t`.
pub type AttributeType = c_int;

/// `cudnnHandle_t`.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct Handle(pub *mut c_void);

/// `cudnnBackendDescriptor_t`.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct DescriptorHandle(pub *mut c_void);

/// `cudnnDataType_t`.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct DataType(pub c_int);

/// `cudnnBackendHeurMode_t`.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct HeuristicMode(pub c_int);

/// A type of which attributes are arrays.
///
/// # Safety
///
/// Values lie in memory as the library wants them of attributes of [`Attribute::TYPE`].
pub unsafe trait Attribute: Copy {
    /// What the library calls the type.
    const TYPE: AttributeType;
}

macro_rules! attributes {
    ($($type:ty = $number:literal),*) => {
        $(
            // SAFETY: the header says so of the type.
            unsafe impl Attribute for $type {
                const TYPE: AttributeType = $number;
            }
        )*
    };
}
attributes! {
    Handle = 0, DataType = 1, bool = 2, i64 = 3, *mut c_void = 6, HeuristicMode = 8,
    DescriptorHandle = 15, u8 = 24
}

pub const CUDNN_STATUS_SUCCESS: Status = 0;
pub const CUDNN_STATUS_NOT_SUPPORTED: Status = 3000;
pub const CUDNN_STATUS_INTERNAL_ERROR: Status = 4000;
pub const CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED: Status = 4003;
pub const CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED: Status = 4004;

pub const CUDNN_DATA_FLOAT: DataType = DataType(0);
pub const CUDNN_DATA_HALF: DataType = DataType(2);
pub const CUDNN_DATA_BFLOAT16: DataType = DataType(9);

/// Ways of computing that need not be quick.
pub const CUDNN_HEUR_MODE_FALLBACK: HeuristicMode = HeuristicMode(2);
pub const CUDNN_HEUR_MODE_A: HeuristicMode = HeuristicMode(3);

pub const CUDNN_BACKEND_ENGINECFG_DESCRIPTOR: DescriptorKind = 3;
pub const CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR: DescriptorKind = 4;
pub const CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR: DescriptorKind = 5;
pub const CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR: DescriptorKind = 15;
pub const CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR: DescriptorKind = 16;
pub const CUDNN_BACKEND_TENSOR_DESCRIPTOR: DescriptorKind = 17;
/// Since 9.8.
pub const CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR: DescriptorKind = 38;
/// Since 9.13.
pub const CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR: DescriptorKind = 41;

pub const CUDNN_ATTR_ENGINEHEUR_MODE: AttributeName = 200;
pub const CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH: AttributeName = 201;
pub const CUDNN_ATTR_ENGINEHEUR_RESULTS: AttributeName = 202;
pub const CUDNN_ATTR_ENGINEHEUR_DEVICEPROP: AttributeName = 204;
pub const CUDNN_ATTR_EXECUTION_PLAN_HANDLE: AttributeName = 400;
pub const CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG: AttributeName = 401;
pub const CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE: AttributeName = 402;
pub const CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP: AttributeName = 407;
pub const CUDNN_ATTR_OPERATIONGRAPH_HANDLE: AttributeName = 800;
pub const CUDNN_ATTR_OPERATIONGRAPH_OPS: AttributeName = 801;
pub const CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT: AttributeName = 900;
pub const CUDNN_ATTR_TENSOR_DATA_TYPE: AttributeName = 901;
pub const CUDNN_ATTR_TENSOR_DIMENSIONS: AttributeName = 902;
pub const CUDNN_ATTR_TENSOR_STRIDES: AttributeName = 903;
pub const CUDNN_ATTR_TENSOR_UNIQUE_ID: AttributeName = 906;
pub const CUDNN_ATTR_TENSOR_IS_BY_VALUE: AttributeName = 908;
pub const CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS: AttributeName = 1000;
pub const CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS: AttributeName = 1001;
pub const CUDNN_ATTR_VARIANT_PACK_WORKSPACE: AttributeName = 1003;
pub const CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION: AttributeName = 2702;
pub const CUDNN_ATTR_OPERATION_SDPA_FWD_QDESC: AttributeName = 2800;
pub const CUDNN_ATTR_OPERATION_SDPA_FWD_KDESC: AttributeName = 2801;
pub const CUDNN_ATTR_OPERATION_SDPA_FWD_VDESC: AttributeName = 2802;
pub const CUDNN_ATTR_OPERATION_SDPA_FWD_ODESC: AttributeName = 2803;
pub const CUDNN_ATTR_OPERATION_SDPA_FWD_STATSDESC: AttributeName = 2804;
pub const CUDNN_ATTR_OPERATION_SDPA_FWD_SCALEDESC: AttributeName = 2805;

function_table! {
    /// What is used of cuDNN.
    Functions {
        fn cudnnGetVersion() -> usize;
        fn cudnnGetErrorString(status: Status) -> *const c_char;
        fn cudnnGetLastErrorString(message: *mut c_char, bytes: usize) -> ();
        fn cudnnCreate(handle: *mut Handle) -> Status;
        fn cudnnDestroy(handle: Handle) -> Status;
        fn cudnnSetStream(handle: Handle, stream: StreamHandle) -> Status;
        fn cudnnBackendCreateDescriptor(
            kind: DescriptorKind,
            descriptor: *mut DescriptorHandle,
        ) -> Status;
        fn cudnnBackendDestroyDescriptor(descriptor: DescriptorHandle) -> Status;
        fn cudnnBackendFinalize(descriptor: DescriptorHandle) -> Status;
        fn cudnnBackendSetAttribute(
            descriptor: DescriptorHandle,
            name: AttributeName,
            attribute_type: AttributeType,
            count: i64,
            elements: *const c_void,
        ) -> Status;
        fn cudnnBackendGetAttribute(
            descriptor: DescriptorHandle,
            name: AttributeName,
            attribute_type: AttributeType,
            requested: i64,
            count: *mut i64,
            elements: *mut c_void,
        ) -> Status;
        fn cudnnBackendExecute(
            handle: Handle,
            plan: DescriptorHandle,
            variant_pack: DescriptorHandle,
        ) -> Status;
    }
}
