//! The engine's thread at its start: MPI's initialisation, and the ranks' first words.

use super::api::{Mpi, functions};
use super::board::{Fault, FaultKind};
use super::engine::Engine;
use super::exit;
use super::library::Library;
use super::peer::Peer;
use super::settings::MpiLauncher;
use super::shared::{Phase, Request, Shared};
use super::wire::Hello;
use crate::error::{ErrorCode, TransportError};
use crate::process::Watched;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Between looks for the others' first words.
const POLL: Duration = Duration::from_millis(1);

/// Tells those who wait when the engine's thread ends, by a panic too.
struct Leaving(Arc<Shared>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.set_gone();
    }
}

/// Initialises MPI, meets the other ranks, and works for them until the end.
pub(super) fn run(library: Library, shared: Arc<Shared>) {
    let _leaving = Leaving(shared.clone());
    let refused = |(expected, found)| shared.error(ErrorCode::StartUp, (expected, found));
    let mpi = match functions(&library) {
        Ok(mpi) => mpi,
        Err(missing) => return shared.set_phase(Phase::Refused(refused(missing))),
    };
    if let Err(words) = mpi.init() {
        let found = format!("{} can't be initialised: {words}", library.version);
        let expected = "the launcher must be of the same kind as the library".to_owned();
        return shared.set_phase(Phase::Refused(refused((expected, found))));
    }
    shared.set_in_use(true);
    exit::watch();
    match meet(&*mpi, &shared, &library) {
        Ok((peers, spin)) => {
            shared.set_phase(Phase::Running);
            match Engine::new(mpi, shared.clone(), peers, spin).run() {
                Ok(()) => {
                    library.close();
                    shared.set_phase(Phase::Finished);
                }
                Err(found) => {
                    let (kind, rank) = (FaultKind::Failed, shared.identity.rank);
                    shared.declare(Fault { kind, rank, found });
                }
            }
        }
        Err(error) => refuse(mpi, &shared, library, error),
    }
}

/// Lets the process go, which then ends the run.
fn refuse(mpi: Box<dyn Mpi + Send>, shared: &Shared, library: Library, error: TransportError) {
    // Alone, there is nobody else to be ended.
    let over = matches!(mpi.place(), Ok((_, 1))) && mpi.finalize().is_ok();
    if over {
        drop(mpi);
        library.close();
        shared.set_in_use(false);
        return shared.set_phase(Phase::Refused(error));
    }
    shared.set_phase(Phase::Refused(error));
    loop {
        let requests = shared.take(Duration::from_secs(1));
        if requests.iter().any(|request| matches!(request, Request::End)) {
            mpi.abort();
            exit::end_process();
        }
    }
}

fn meet(
    mpi: &dyn Mpi,
    shared: &Shared,
    library: &Library,
) -> Result<(Vec<Peer>, bool), TransportError> {
    let identity = &shared.identity;
    let (rank, world) = (identity.rank, identity.world);
    let refused =
        |expected: String, found: String| Err(shared.error(ErrorCode::StartUp, (expected, found)));
    let (mpi_rank, mpi_world) =
        mpi.place().map_err(|words| shared.error(ErrorCode::StartUp, (String::new(), words)))?;
    if mpi_world != world {
        let found = format!(
            "the launcher started rank {rank} of {world}, and MPI ({}) says rank {mpi_rank} of \
             {mpi_world}",
            library.version
        );
        return refused(advice(identity.settings.launcher).into(), found);
    }
    if mpi_rank != rank {
        let found = format!("this is rank {rank} to its launcher, and rank {mpi_rank} to MPI");
        return refused("each rank must be started once, and under one number".into(), found);
    }
    let own = Hello {
        rank,
        world,
        pid: std::process::id(),
        machine: machine(),
        version: env!("CARGO_PKG_VERSION").into(),
    };
    let mut peers: Vec<_> = (0..world).filter(|other| *other != rank).map(Peer::new).collect();
    let failed = |words: String| shared.error(ErrorCode::System, (String::new(), words));
    let mut here = 1;
    let mut greeted = vec![false; peers.len()];
    let message = own.encode();
    for peer in &mut peers {
        peer.tell(mpi, &message, true).map_err(failed)?;
    }
    let began = Instant::now();
    while greeted.contains(&false) {
        for (peer, greeted) in peers.iter_mut().zip(&mut greeted).filter(|(_, done)| !**done) {
            let Some(hello) = peer.hello(mpi).map_err(failed)? else { continue };
            let hello = match hello {
                Ok(hello) if hello.rank == peer.rank && hello.world == world => hello,
                other => {
                    let found = match other {
                        Ok(Hello { rank, world, .. }) => format!("as rank {rank} of {world}"),
                        Err(words) => format!("with {words}"),
                    };
                    let found = format!("rank {} introduces itself {found}", peer.rank);
                    let expected = "all ranks must run the same version of this program";
                    return refused(expected.into(), found).map_err(|e| e.about(peer.rank));
                }
            };
            if hello.version != own.version {
                let found = format!(
                    "rank {} runs version {}, {} here",
                    peer.rank, hello.version, own.version
                );
                let expected = "all ranks must run the same version of this program";
                return refused(expected.into(), found).map_err(|e| e.about(peer.rank));
            }
            if hello.machine == own.machine {
                here += 1;
                peer.process = Some(Watched::new(hello.pid));
            }
            *greeted = true;
        }
        if began.elapsed() > identity.settings.start_deadline {
            let missing = greeted.iter().zip(&peers).find(|(greeted, _)| !**greeted);
            let missing = missing.map_or(rank, |(_, peer)| peer.rank);
            let waited = began.elapsed().as_secs_f64();
            let found = format!("rank {missing} is missing after {waited:.1} s");
            let outcome = refused("each rank must be started once".into(), found);
            return outcome.map_err(|error| error.about(missing));
        }
        std::thread::sleep(POLL);
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Ok((peers, here <= cores))
}

/// What to do where launcher and library don't belong together.
fn advice(launcher: MpiLauncher) -> &'static str {
    match launcher {
        MpiLauncher::OpenMpi => {
            "the library must be the Open MPI of that mpirun; name it in WAN_MPI_LIBRARY"
        }
        MpiLauncher::Pmi => {
            "the library must be of MPICH's kind, as that launcher is; name it in WAN_MPI_LIBRARY"
        }
        MpiLauncher::Any => {
            "start by mpirun, or by srun --mpi=pmix (Open MPI) or --mpi=pmi2 (MPICH), and name \
             the library in WAN_MPI_LIBRARY where it is of the other kind"
        }
    }
}

/// A number for the processes that see each other: those of a machine, and of a container where
/// there is one.
fn machine() -> u64 {
    let mut hasher = DefaultHasher::new();
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    let numbers = std::fs::read_link("/proc/self/ns/pid");
    match (boot, numbers) {
        (Ok(boot), Ok(numbers)) => (boot, numbers).hash(&mut hasher),
        // Unknown: nobody's processes are watched but this one's.
        _ => (std::process::id(), Instant::now()).hash(&mut hasher),
    }
    hasher.finish()
}
