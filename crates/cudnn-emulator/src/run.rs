//! Running a plan.

use crate::attention::{Attention, DataType, Tensor};
use crate::attribute::name;
use crate::descriptor::{Described, Finalized, Kind};
use crate::status::{Failure, Status};
use driver_in_use::{Driver, Stream, driver};
use std::collections::BTreeMap;

/// Scratch memory that every plan asks for.
pub const WORKSPACE_BYTES: usize = 256;

/// Computes a plan's graph over the memory that the pack names.
///
/// # Safety
/// Tensors by value are in this process, of the sizes that the graph says.
pub unsafe fn run(
    handle: usize,
    stream: Option<Stream>,
    plan: &Finalized,
    pack: &Finalized,
) -> Result<(), Failure> {
    let refuse = |status, message: String| Err(Failure::new(status, message));
    if plan.kind != Kind::Plan || pack.kind != Kind::Pack {
        let message = format!("{:?} and {:?} are no plan and pack", plan.kind, pack.kind);
        return refuse(Status::DESCRIPTOR_TYPE, message);
    }
    if plan.address(name::PLAN_HANDLE)? != handle {
        return refuse(Status::BAD_PARAM, "the plan was made for another handle".into());
    }
    let Some(stream) = stream else {
        return refuse(Status::BAD_PARAM, "the handle has no stream".into());
    };
    let config = plan.descriptor(name::PLAN_CONFIG, Kind::Config)?;
    let attention = Attention::of_graph(config.descriptor(name::CONFIG_GRAPH, Kind::Graph)?)?;
    let ids = pack.numbers(name::PACK_IDS)?.iter().copied();
    let places: BTreeMap<i64, usize> =
        ids.zip(pack.addresses(name::PACK_POINTERS)?.iter().copied()).collect();
    let tensors = attention.tensors();
    if places.len() != tensors.len() || !tensors.iter().all(|one| places.contains_key(&one.id)) {
        let wanted: Vec<_> = tensors.iter().map(|tensor| tensor.id).collect();
        let message = format!("the pack has {:?}, the graph {wanted:?}", places.keys());
        return refuse(Status::BAD_PARAM, message);
    }
    for tensor in &tensors {
        let place = places[&tensor.id];
        if place == 0 || !place.is_multiple_of(tensor.alignment) {
            let message = format!("tensor {} at {place:#x}", tensor.id);
            return refuse(Status::MISALIGNED_POINTER, message);
        }
    }
    let device = OnStream { driver: driver()?, stream };
    // Whoever gives less, or memory that others hold, sees what became of it.
    let workspace = pack.address(name::PACK_WORKSPACE)?;
    device.driver.write(workspace as u64, &[0xa5; WORKSPACE_BYTES], stream)?;
    let read = |tensor: &Tensor| device.read(tensor, places[&tensor.id]);
    let (query, key, value) =
        (read(&attention.query)?, read(&attention.key)?, read(&attention.value)?);
    // SAFETY: the caller's number, aligned as was checked.
    let scale = unsafe { (places[&attention.scale.id] as *const f32).read() };
    let (output, sums) = attention.compute(&query, &key, &value, f64::from(scale));
    device.write(&attention.output, places[&attention.output.id], &output)?;
    if let Some(statistics) = &attention.statistics {
        device.write(statistics, places[&statistics.id], &sums)?;
    }
    Ok(())
}

/// The device's memory, in a stream's order.
struct OnStream {
    driver: &'static Driver,
    stream: Stream,
}

impl OnStream {
    /// All elements between a tensor's first and last, those among them that aren't its own too.
    fn read(&self, tensor: &Tensor, place: usize) -> Result<Vec<f64>, Failure> {
        let bytes = tensor.data_type.bytes();
        let content = self.driver.read(place as u64, tensor.extent() * bytes, self.stream)?;
        Ok(content.chunks_exact(bytes).map(|element| tensor.data_type.decode(element)).collect())
    }

    fn write(&self, tensor: &Tensor, place: usize, elements: &[f64]) -> Result<(), Failure> {
        let data_type: DataType = tensor.data_type;
        let mut content = Vec::with_capacity(elements.len() * data_type.bytes());
        for element in elements {
            data_type.encode(*element, &mut content);
        }
        Ok(self.driver.write(place as u64, &content, self.stream)?)
    }
}
