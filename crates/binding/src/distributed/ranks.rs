//! The launcher's shared file, and joining as a rank.

use super::group::NativeProcessGroup;
use super::shared_memory::SharedMemory;
use super::{facts, from_transport, lock};
use crate::error;
use crate::stream::cpu;
use crate::tensor::to_size;
use napi::bindgen_prelude::*;
use napi_derive::napi;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use transport::local::{
    FaultKind, Launcher, LauncherSettings, LocalSettings, LocalTransport, RankState,
};
use transport::mpi::{MpiLauncher, MpiSettings, MpiTransport};
use transport::planned::PlannedTransport;
use transport::{Transport, TransportError};

/// What a rank has written.
#[napi(object, object_from_js = false)]
pub struct NativeRankStatus {
    /// Its process, once it has joined.
    pub pid: Option<u32>,
    /// `absent`, `running`, `done` or `failed`.
    pub state: &'static str,
    /// Where it is: "at step 3, block 7, all-to-all #281".
    pub whereabouts: String,
    /// Why it failed, or "".
    pub failure: String,
    /// Seconds since its last sign of life, once it has joined.
    pub silent_seconds: Option<f64>,
}

/// The first fault of a run.
#[napi(object, object_from_js = false)]
pub struct NativeFault {
    /// `died`, `stopped`, `failed` or `late`.
    pub kind: &'static str,
    /// The rank at fault.
    pub rank: u32,
}

/// The shared file of a run, as its launcher has it.
#[napi]
pub struct NativeLauncher {
    launcher: Option<Launcher>,
}

#[napi]
impl NativeLauncher {
    /// Makes the shared file for `world_size` ranks, each with room for `arena_bytes`.
    #[napi(factory, catch_unwind)]
    pub fn create(world_size: f64, arena_bytes: Option<f64>) -> Result<Self> {
        let mut settings = LauncherSettings::new(to_size("launchRanks", "worldSize", world_size)?);
        if let Some(bytes) = arena_bytes {
            settings.arena_bytes = to_size("launchRanks", "arenaBytes", bytes)?;
        }
        let launcher = Launcher::new(&settings).map_err(from_transport)?;
        Ok(NativeLauncher { launcher: Some(launcher) })
    }

    fn get(&self) -> Result<&Launcher> {
        self.launcher.as_ref().ok_or_else(|| {
            error::argument("launchRanks", "launcher", "one that is not disposed", "disposed")
        })
    }

    /// The descriptor to hand down; it stays the launcher's own.
    #[napi(getter, catch_unwind)]
    pub fn descriptor(&self) -> Result<i32> {
        Ok(self.get()?.descriptor())
    }

    /// What a rank has written.
    #[napi(catch_unwind)]
    pub fn observe(&self, rank: u32) -> Result<NativeRankStatus> {
        let status = self
            .get()?
            .observe(rank as usize)
            .ok_or_else(|| error::argument("launchRanks", "rank", "one of the run", rank))?;
        Ok(NativeRankStatus {
            pid: status.pid,
            state: match status.state {
                RankState::Absent => "absent",
                RankState::Running => "running",
                RankState::Done => "done",
                RankState::Failed => "failed",
            },
            whereabouts: status.whereabouts,
            failure: status.failure,
            silent_seconds: status.silent_for.map(|time| time.as_secs_f64()),
        })
    }

    /// The first fault, or null.
    #[napi(catch_unwind)]
    pub fn fault(&self) -> Result<Option<NativeFault>> {
        Ok(self.get()?.fault().map(|fault| NativeFault {
            kind: match fault.kind {
                FaultKind::Died => "died",
                FaultKind::Stopped => "stopped",
                FaultKind::Failed => "failed",
                FaultKind::Late => "late",
            },
            rank: fault.rank as u32,
        }))
    }

    /// Lets go of the file.
    #[napi(catch_unwind)]
    pub fn dispose(&mut self) {
        self.launcher = None;
    }
}

/// Deadlines and sizes; what is left out has its default.
#[napi(object, object_to_js = false)]
#[derive(Default)]
pub struct NativeRankSettings {
    /// A rank that is silent for longer has stopped.
    pub stopped_after_seconds: Option<f64>,
    /// How long to wait at a collective for a rank that lives.
    pub deadline_seconds: Option<f64>,
    /// How long to wait at the start for all ranks.
    pub start_deadline_seconds: Option<f64>,
    /// Bytes of a staging window.
    pub window_bytes: Option<f64>,
}

/// A duration in seconds, or the default where none is given.
fn to_duration(name: &str, seconds: Option<f64>, default: Duration) -> Result<Duration> {
    let Some(seconds) = seconds else { return Ok(default) };
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|time| !time.is_zero())
        .ok_or_else(|| error::argument("joinRanks", name, "more than 0 seconds", seconds))
}

impl NativeRankSettings {
    fn local(&self) -> Result<LocalSettings> {
        let default = LocalSettings::default();
        Ok(LocalSettings {
            stopped_after: self.stopped_after(default.stopped_after)?,
            deadline: self.deadline(default.deadline)?,
            start_deadline: self.start_deadline(default.start_deadline)?,
            window_bytes: match self.window_bytes {
                Some(bytes) => to_size("joinRanks", "windowBytes", bytes)?,
                None => default.window_bytes,
            },
            ..default
        })
    }

    fn mpi(&self, launcher: MpiLauncher, library: Option<String>) -> Result<MpiSettings> {
        let default = MpiSettings::default();
        Ok(MpiSettings {
            stopped_after: self.stopped_after(default.stopped_after)?,
            deadline: self.deadline(default.deadline)?,
            start_deadline: self.start_deadline(default.start_deadline)?,
            launcher,
            library,
            ..default
        })
    }

    fn stopped_after(&self, default: Duration) -> Result<Duration> {
        to_duration("stoppedAfter", self.stopped_after_seconds, default)
    }

    fn deadline(&self, default: Duration) -> Result<Duration> {
        to_duration("deadline", self.deadline_seconds, default)
    }

    fn start_deadline(&self, default: Duration) -> Result<Duration> {
        to_duration("startDeadline", self.start_deadline_seconds, default)
    }
}

/// This process as a rank.
#[napi]
pub struct NativeRanks {
    transport: Arc<dyn Transport>,
    /// The same transport, where the ranks are planned.
    planned: Option<Arc<PlannedTransport>>,
    failure: Arc<Mutex<Option<TransportError>>>,
}

impl NativeRanks {
    fn new(transport: Arc<dyn Transport>, planned: Option<Arc<PlannedTransport>>) -> Self {
        NativeRanks { transport, planned, failure: Arc::default() }
    }
}

#[napi]
impl NativeRanks {
    /// Joins the run whose shared file is open as `descriptor`; blocks until all ranks are there.
    #[napi(factory, catch_unwind)]
    pub fn join(
        descriptor: i32,
        rank: f64,
        world_size: f64,
        settings: NativeRankSettings,
    ) -> Result<Self> {
        let rank = to_size("joinRanks", "rank", rank)?;
        let world_size = to_size("joinRanks", "worldSize", world_size)?;
        let transport = LocalTransport::join(descriptor, rank, world_size, settings.local()?)
            .map_err(from_transport)?;
        Ok(NativeRanks::new(Arc::new(transport), None))
    }

    /// Joins the run of an MPI launcher, in which this process is `rank` of `world_size`; blocks
    /// until all ranks are there. `launcher` is `openmpi`, `pmi` or `any`; `library` names one in
    /// place of those that fit it.
    #[napi(factory, catch_unwind)]
    pub fn join_mpi(
        launcher: String,
        library: Option<String>,
        rank: f64,
        world_size: f64,
        settings: NativeRankSettings,
    ) -> Result<Self> {
        let rank = to_size("joinRanks", "rank", rank)?;
        let world_size = to_size("joinRanks", "worldSize", world_size)?;
        let launcher = match launcher.as_str() {
            "openmpi" => MpiLauncher::OpenMpi,
            "pmi" => MpiLauncher::Pmi,
            "any" => MpiLauncher::Any,
            _ => {
                let expected = "openmpi, pmi or any";
                return Err(error::argument("joinRanks", "launcher", expected, launcher));
            }
        };
        let transport = MpiTransport::join(rank, world_size, settings.mpi(launcher, library)?)
            .map_err(from_transport)?;
        Ok(NativeRanks::new(Arc::new(transport), None))
    }

    /// Rank `rank` of `world_size` that are planned alone, for rehearsals.
    #[napi(factory, catch_unwind)]
    pub fn planned(rank: f64, world_size: f64) -> Result<Self> {
        let rank = to_size("plannedRanks", "rank", rank)?;
        let world_size = to_size("plannedRanks", "worldSize", world_size)?;
        let transport = Arc::new(PlannedTransport::new(rank, world_size).map_err(from_transport)?);
        Ok(NativeRanks::new(transport.clone(), Some(transport)))
    }

    /// The group of all ranks.
    #[napi(catch_unwind)]
    pub fn world(&self) -> NativeProcessGroup {
        match &self.planned {
            Some(planned) => NativeProcessGroup::planned(planned.planned_world()),
            None => NativeProcessGroup::new(self.transport.world(), self.failure.clone()),
        }
    }

    /// Outputs of operations submitted from now on are memory that other ranks read directly, where
    /// the transport has any.
    #[napi(catch_unwind)]
    pub fn enter_shared_memory(&self) {
        let world = self.transport.world();
        if world.shares_memory() {
            cpu().enter_output_memory(Arc::new(SharedMemory::new(world)));
        }
    }

    /// Ends what the last `enterSharedMemory` began.
    #[napi(catch_unwind)]
    pub fn leave_shared_memory(&self) {
        if self.transport.world().shares_memory() {
            cpu().leave_output_memory();
        }
    }

    /// Publishes where this rank is, such as "step 3, block 7", once the stream has come to it.
    #[napi(catch_unwind)]
    pub fn note(&self, position: String) {
        let transport = self.transport.clone();
        cpu().once_reached(move || transport.note(&position));
    }

    /// Reports that this rank has done its whole work; blocks until all have, where there is no
    /// launcher that knows.
    #[napi(catch_unwind)]
    pub fn finish(&self) -> Result<()> {
        // Other ranks' devices may wait for this one's.
        cpu().synchronize();
        self.transport.finish().map_err(from_transport)
    }

    /// Reports a failure of this rank's own.
    #[napi(catch_unwind)]
    pub fn fail(&self, reason: String) {
        self.transport.fail(&reason);
    }

    /// The first failure of any collective here, as JSON, or null.
    #[napi(catch_unwind)]
    pub fn failure(&self) -> Option<String> {
        lock(&self.failure).as_ref().map(|failure| facts(failure).to_string())
    }
}
