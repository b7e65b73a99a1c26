//! What a descriptor must be like before it is finalized.

use crate::attention::{Attention, DataType, Tensor};
use crate::attribute::name;
use crate::descriptor::{Attributes, Described, Kind};
use crate::status::{Failure, Status};
use std::collections::BTreeSet;

/// What rows of tensors on the device begin at multiples of.
const VECTOR_BYTES: usize = 16;

/// Refuses what isn't whole, or doesn't fit together.
pub fn check(kind: Kind, attributes: &Attributes) -> Result<(), Failure> {
    let described = (kind, attributes);
    match kind {
        Kind::Config => {
            let message = "a configuration comes from a heuristic, as it is";
            Err(Failure::new(Status::NOT_SUPPORTED, message))
        }
        Kind::Tensor => check_tensor(&Tensor::of(&described)?),
        Kind::Attention => check_attention(&Attention::of(&described)?),
        Kind::Graph => {
            described.address(name::GRAPH_HANDLE)?;
            described.descriptor(name::GRAPH_OPERATIONS, Kind::Attention).map(drop)
        }
        Kind::Heuristic => {
            described.descriptor(name::HEURISTIC_GRAPH, Kind::Graph)?;
            described.number(name::HEURISTIC_MODE).map(drop)
        }
        Kind::Plan => {
            let config = described.descriptor(name::PLAN_CONFIG, Kind::Config)?;
            let graph = config.descriptor(name::CONFIG_GRAPH, Kind::Graph)?;
            let same =
                described.address(name::PLAN_HANDLE)? == graph.address(name::GRAPH_HANDLE)?;
            must(same, Status::BAD_PARAM, || "the plan is for another handle than its graph".into())
        }
        Kind::Pack => {
            let ids = described.numbers(name::PACK_IDS)?;
            let pointers = described.addresses(name::PACK_POINTERS)?.len();
            described.address(name::PACK_WORKSPACE)?;
            let distinct = ids.iter().collect::<BTreeSet<_>>().len();
            must(ids.len() == pointers && distinct == pointers, Status::BAD_PARAM, || {
                format!("{pointers} pointers for the ids {ids:?}")
            })
        }
    }
}

fn must(holds: bool, status: Status, message: impl FnOnce() -> String) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(Failure::new(status, message())) }
}

fn check_tensor(tensor: &Tensor) -> Result<(), Failure> {
    let Tensor { alignment, data_type, .. } = *tensor;
    must(alignment.is_power_of_two() && alignment >= data_type.bytes(), Status::BAD_PARAM, || {
        format!("an alignment of {alignment} bytes for {data_type:?}")
    })
}

fn check_attention(attention: &Attention) -> Result<(), Failure> {
    let Attention { query, key, value, output, scale, statistics } = attention;
    let [batch, heads, queries, size] = query.shape;
    let keys = key.shape[2];
    let mut shapes = vec![
        (query, [batch, heads, queries, size]),
        (key, [batch, heads, keys, size]),
        (value, [batch, heads, keys, size]),
        (output, [batch, heads, queries, size]),
        (scale, [1; 4]),
    ];
    shapes.extend(statistics.as_ref().map(|tensor| (tensor, [batch, heads, queries, 1])));
    for (tensor, shape) in shapes {
        must(tensor.shape == shape, Status::SHAPE_MISMATCH, || {
            format!("tensor {} is {:?}, expected {shape:?}", tensor.id, tensor.shape)
        })?;
    }
    let ids: BTreeSet<_> = attention.tensors().iter().map(|tensor| tensor.id).collect();
    must(ids.len() == attention.tensors().len(), Status::BAD_PARAM, || {
        format!("tensors share the ids {ids:?}")
    })?;
    must(size.is_multiple_of(8), Status::NOT_SUPPORTED, || format!("heads of {size} channels"))?;
    for tensor in [query, key, value, output] {
        check_operand(tensor, query.data_type)?;
    }
    must(scale.is_by_value && scale.data_type == DataType::Float, Status::NOT_SUPPORTED, || {
        format!("a scale that is not a float by value: {scale:?}")
    })?;
    if let Some(statistics) = statistics {
        must(statistics.data_type == DataType::Float, Status::NOT_SUPPORTED, || {
            format!("statistics of {:?}", statistics.data_type)
        })?;
    }
    for tensor in [Some(output), statistics.as_ref()].into_iter().flatten() {
        must(tensor.is_dense(), Status::NOT_SUPPORTED, || {
            format!("tensor {} has gaps: {:?}", tensor.id, tensor.strides)
        })?;
    }
    Ok(())
}

fn check_operand(tensor: &Tensor, data_type: DataType) -> Result<(), Failure> {
    let Tensor { id, shape, strides, .. } = tensor;
    must(
        tensor.data_type == data_type && data_type != DataType::Float,
        Status::NOT_SUPPORTED,
        || format!("tensor {id} of {:?}, the query of {data_type:?}", tensor.data_type),
    )?;
    let bytes = data_type.bytes();
    let whole = |dim: usize| shape[dim] == 1 || (strides[dim] * bytes).is_multiple_of(VECTOR_BYTES);
    must(
        strides[3] == 1 && (0..3).all(whole) && tensor.alignment.is_multiple_of(VECTOR_BYTES),
        Status::NOT_SUPPORTED,
        || format!("tensor {id} lies by {strides:?}, aligned to {}", tensor.alignment),
    )?;
    must(!tensor.is_by_value, Status::NOT_SUPPORTED, || format!("tensor {id} by value"))
}
