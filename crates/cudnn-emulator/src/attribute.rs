//! Attributes: what the header says of each, and their values.

use crate::descriptor::{Finalized, Kind};
use std::ffi::c_int;
use std::sync::Arc;

/// `cudnnBackendAttributeName_t`.
pub mod name {
    use std::ffi::c_int;

    pub const HEURISTIC_MODE: c_int = 200;
    pub const HEURISTIC_GRAPH: c_int = 201;
    pub const HEURISTIC_RESULTS: c_int = 202;
    pub const PLAN_HANDLE: c_int = 400;
    pub const PLAN_CONFIG: c_int = 401;
    pub const PLAN_WORKSPACE: c_int = 402;
    pub const GRAPH_HANDLE: c_int = 800;
    pub const GRAPH_OPERATIONS: c_int = 801;
    pub const ALIGNMENT: c_int = 900;
    pub const DATA_TYPE: c_int = 901;
    pub const DIMENSIONS: c_int = 902;
    pub const STRIDES: c_int = 903;
    pub const UNIQUE_ID: c_int = 906;
    pub const IS_BY_VALUE: c_int = 908;
    pub const PACK_IDS: c_int = 1000;
    pub const PACK_POINTERS: c_int = 1001;
    pub const PACK_WORKSPACE: c_int = 1003;
    pub const QUERY: c_int = 2800;
    pub const KEY: c_int = 2801;
    pub const VALUE: c_int = 2802;
    pub const OUTPUT: c_int = 2803;
    pub const STATISTICS: c_int = 2804;
    pub const SCALE: c_int = 2805;
    /// Of a configuration, which none but this library makes.
    pub const CONFIG_GRAPH: c_int = -1;
}

/// `cudnnBackendAttributeType_t`; `Format` is its data type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Handle = 0,
    Format = 1,
    Boolean = 2,
    Int64 = 3,
    Pointer = 6,
    HeuristicMode = 8,
    Descriptor = 15,
}

/// How an attribute may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Set,
    Get,
}

/// The type of an attribute of a kind of descriptor, and what may be done with it.
pub fn declared(kind: Kind, attribute: c_int) -> Option<(Type, Access)> {
    let set = |attribute_type| Some((attribute_type, Access::Set));
    let get = |attribute_type| Some((attribute_type, Access::Get));
    match (kind, attribute) {
        (Kind::Tensor, name::ALIGNMENT | name::DIMENSIONS | name::STRIDES | name::UNIQUE_ID) => {
            set(Type::Int64)
        }
        (Kind::Tensor, name::DATA_TYPE) => set(Type::Format),
        (Kind::Tensor, name::IS_BY_VALUE) => set(Type::Boolean),
        (Kind::Attention, name::QUERY..=name::SCALE) => set(Type::Descriptor),
        (Kind::Graph, name::GRAPH_HANDLE) => set(Type::Handle),
        (Kind::Graph, name::GRAPH_OPERATIONS) => set(Type::Descriptor),
        (Kind::Heuristic, name::HEURISTIC_MODE) => set(Type::HeuristicMode),
        (Kind::Heuristic, name::HEURISTIC_GRAPH) => set(Type::Descriptor),
        (Kind::Heuristic, name::HEURISTIC_RESULTS) => get(Type::Descriptor),
        (Kind::Plan, name::PLAN_HANDLE) => set(Type::Handle),
        (Kind::Plan, name::PLAN_CONFIG) => set(Type::Descriptor),
        (Kind::Plan, name::PLAN_WORKSPACE) => get(Type::Int64),
        (Kind::Pack, name::PACK_IDS) => set(Type::Int64),
        (Kind::Pack, name::PACK_POINTERS | name::PACK_WORKSPACE) => set(Type::Pointer),
        _ => None,
    }
}

/// What an attribute was set to.
#[derive(Clone, Debug)]
pub enum Value {
    /// Numbers, types, modes, flags.
    Numbers(Vec<i64>),
    /// Pointers and handles.
    Addresses(Vec<usize>),
    Descriptors(Vec<Arc<Finalized>>),
}
