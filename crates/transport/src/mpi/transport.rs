//! A rank's place in a run over MPI.

use super::exit;
use super::group::MpiGroup;
use super::join;
use super::library::Library;
use super::settings::MpiSettings;
use super::shared::{Identity, Phase, Request, Shared};
use crate::error::{ErrorCode, TransportError};
use crate::process::end_with_parent;
use crate::process_group::{ProcessGroup, Transport};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Beyond a deadline that the engine keeps itself, and tells of better.
const SLACK: Duration = Duration::from_secs(1);
/// How long MPI may take to end once all ranks are done.
const FINALIZE: Duration = Duration::from_secs(30);

/// A rank among processes that MPI connects.
pub struct MpiTransport {
    shared: Arc<Shared>,
    world: Arc<MpiGroup>,
    library: String,
}

impl MpiTransport {
    /// Joins the run as `rank` of `world_size`, as the launcher calls this process, and waits for
    /// the others. Once a process.
    ///
    /// # Errors
    /// `StartUp` where there is no library for the launcher, the library sees another run than the
    /// launcher, or a rank doesn't come in time.
    pub fn join(
        rank: usize,
        world_size: usize,
        settings: MpiSettings,
    ) -> Result<MpiTransport, TransportError> {
        let refused = |(expected, found): (String, String)| {
            TransportError::new(ErrorCode::StartUp, rank, expected, found)
        };
        let began = Instant::now();
        let start_deadline = settings.start_deadline;
        let library = Library::open(&settings).map_err(refused)?;
        let version = library.version.clone();
        if settings.end_with_launcher {
            end_with_parent();
        }
        let shared = Arc::new(Shared::new(Identity { rank, world: world_size, settings }));
        if !exit::claim(shared.clone()) {
            let found = "this process has joined a run before".to_owned();
            return Err(refused(("MPI can be initialised once".into(), found)));
        }
        let engine = shared.clone();
        std::thread::Builder::new()
            .name("wan-mpi".into())
            .spawn(move || join::run(library, engine))
            .map_err(|error| refused((String::new(), format!("a thread: {error}"))))?;
        match shared.wait_while(&Phase::Joining, Some(start_deadline + SLACK)) {
            (Phase::Running, _) => {
                let members = (0..world_size).collect();
                let world = Arc::new(MpiGroup::new(shared.clone(), "world".into(), members, 0));
                Ok(MpiTransport { shared, world, library: version })
            }
            (Phase::Refused(error), _) => Err(error),
            _ => {
                let waited = began.elapsed().as_secs_f64();
                let found = format!("{version} has not initialised itself after {waited:.1} s");
                Err(refused((format!("all {world_size} ranks must join"), found)))
            }
        }
    }

    /// What the MPI library says of itself.
    pub fn library(&self) -> &str {
        &self.library
    }
}

impl Transport for MpiTransport {
    fn name(&self) -> &'static str {
        "mpi"
    }

    fn world(&self) -> Arc<dyn ProcessGroup> {
        self.world.clone()
    }

    fn note(&self, position: &str) {
        self.shared.publish(Some(position), None);
    }

    fn finish(&self) -> Result<(), TransportError> {
        let Shared { identity, .. } = &*self.shared;
        let began = Instant::now();
        if self.shared.phase() != Phase::Finished {
            self.shared.ask(Request::Finish);
        }
        // The engine names a rank that is late.
        let time = identity.settings.deadline + SLACK;
        let mut end = self.shared.wait_while(&Phase::Running, Some(time));
        if end.0 == Phase::Ending {
            end = self.shared.wait_while(&Phase::Ending, Some(FINALIZE));
        }
        match end {
            (Phase::Finished, _) => Ok(()),
            (_, Some(fault)) => Err(fault.error(identity, "", 0, began.elapsed())),
            _ => Err(self.shared.abandoned().unwrap_or_else(|| {
                let Self { library, .. } = self;
                let waited = began.elapsed().as_secs_f64();
                let found = format!("{library} does not end; waited {waited:.1} s");
                self.shared.error(ErrorCode::System, (String::new(), found))
            })),
        }
    }

    fn fail(&self, reason: &str) {
        self.shared.fail(reason);
    }
}
