//! Coming together: whether devices can, and the communicator of all ranks.

use crate::choice::{COLLECTIVES_VARIABLE, Collectives, FACTS_BYTES, Facts, Wanted, choose};
use crate::group::DeviceGroup;
use crate::watch::Watch;
use cuda::Device;
use cuda::nccl::{Communicator, Nccl, NcclError, UniqueId};
use cuda_kernels::Gpu;
use std::sync::Arc;
use std::time::Duration;
use transport::{DType, ErrorCode, Operation, ProcessGroup, TransportError};

/// How long NCCL may take over a call. Every rank is known to come to it by then, so that only
/// connections have still to be made.
const PATIENCE: Duration = Duration::from_secs(120);

/// How the devices of all ranks exchange from now on.
pub struct Joined {
    /// How, and why.
    pub collectives: Collectives,
    /// The group over devices; `None` where they exchange through their machines.
    pub group: Option<DeviceGroup>,
}

/// Asks all members of `world`, each with its `gpu`, how their devices can exchange, and connects them.
/// All members call it at the same time; it waits for them. `wanted` is what their environments have as
/// [`COLLECTIVES_VARIABLE`], and `nccl` what opening NCCL gave.
///
/// `on_failure` is told, on a thread of its own, when the run has failed, before what devices wait for is
/// called off: what they hold may be anything from then on.
///
/// # Errors
///
/// `StartUp`, on all ranks, where the environment asks for what can't be, or ranks for different things;
/// where NCCL fails, with what to do; what `world` says.
pub fn join(
    world: &Arc<dyn ProcessGroup>,
    gpu: &Arc<Gpu>,
    nccl: Result<Arc<Nccl>, NcclError>,
    wanted: Option<&str>,
    on_failure: impl FnOnce(&TransportError) + Send + 'static,
) -> Result<Joined, TransportError> {
    let rank = world.members()[world.index()];
    let refused = |found: String, expected: &str| {
        TransportError::new(ErrorCode::StartUp, rank, expected, found)
    };
    // A group of its own: what is exchanged here is no part of the run's count.
    let everyone: Vec<usize> = (0..world.size()).collect();
    let group = world.split("devices", &[everyone])?;
    let group = group.ok_or_else(|| refused("a group without its members".to_owned(), ""))?;
    let own = Facts {
        device: identity(gpu.device()),
        wanted: Wanted::parse(wanted),
        nccl: nccl.as_ref().map(|nccl| version(nccl)).map_err(|error| error.message.clone()),
    };
    let mut all = vec![0; FACTS_BYTES * group.size()];
    let operation = Operation::AllGather { counts: vec![FACTS_BYTES; group.size()] };
    group.run(operation, DType::UInt8, &[], &own.encode(), &mut all)?;
    let facts: Vec<Facts> = all.chunks(FACTS_BYTES).map(Facts::decode).collect();
    let collectives =
        choose(&facts).map_err(|found| refused(found, "set it alike on all ranks, or unset it"))?;
    let (Collectives::Nccl { .. }, Ok(nccl)) = (&collectives, nccl) else {
        return Ok(Joined { collectives, group: None });
    };
    let failed = |error: NcclError| {
        let remedy = format!("{COLLECTIVES_VARIABLE}=staged does without NCCL");
        group.failure().unwrap_or_else(|| {
            group.abandon(&error.to_string());
            refused(error.to_string(), &remedy)
        })
    };
    let id = if group.index() == 0 { Some(nccl.unique_id().map_err(failed)?) } else { None };
    let mut bytes = [0; 128];
    let source = id.as_ref().map_or(&[][..], |id| &id.0);
    let operation = Operation::Broadcast { root: 0, count: bytes.len() };
    group.run(operation, DType::UInt8, &[], source, &mut bytes)?;
    let (index, size) = (group.index(), group.size());
    let joined = Communicator::join(&nccl, gpu.device(), &UniqueId(bytes), index, size, PATIENCE);
    let communicator = Arc::new(joined.map_err(failed)?);
    let watch = Watch::start(world.clone(), on_failure)
        .map_err(|error| refused(format!("no thread to watch over devices: {error}"), ""))?;
    let group = DeviceGroup::new(world.clone(), communicator, gpu.clone(), watch);
    Ok(Joined { collectives, group: Some(group) })
}

fn version(nccl: &Nccl) -> String {
    let (major, minor, patch) = nccl.version();
    format!("{major}.{minor}.{patch}")
}

/// A device's name that all processes on its machine give it, and no other.
fn identity(device: &Device) -> String {
    if let Some(uuid) = device.uuid() {
        return uuid.iter().map(|byte| format!("{byte:02x}")).collect();
    }
    // Without it, its number among those that the process sees, on this start of this machine.
    let machine = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    format!("{} {}", machine.trim(), device.index())
}
