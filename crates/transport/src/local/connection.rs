//! A rank's place in a run on this machine.

use super::arena::Arena;
use super::clock;
use super::control::state;
use super::fault::{Fault, FaultKind};
use super::group::LocalGroup;
use super::segment::Segment;
use super::settings::LocalSettings;
use super::watchdog::Watchdog;
use crate::error::{ErrorCode, TransportError};
use crate::process::{self, Watched};
use crate::process_group::{ProcessGroup, Transport};
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// What all groups of a rank share.
pub(crate) struct Connection {
    pub segment: Arc<Segment>,
    pub rank: usize,
    pub settings: LocalSettings,
    pub spin: bool,
    pub arena: Arc<Arena>,
    _watchdog: Watchdog,
}

impl Connection {
    /// Shows that this rank gets on.
    pub(crate) fn progress(&self) {
        self.segment.rank(self.rank).progress.fetch_add(1, Ordering::Relaxed);
    }

    /// Shows that this rank is completing a collective, until dropped.
    pub(crate) fn moving(&self) -> Moving<'_> {
        self.segment.rank(self.rank).moving.store(1, Ordering::Relaxed);
        Moving(self)
    }

    /// Reports a failure of this rank, unless it has reported something before.
    pub(crate) fn fail(&self, reason: &str) {
        let block = self.segment.rank(self.rank);
        if block.state.load(Ordering::Acquire) != state::RUNNING {
            return;
        }
        block.failure.write(reason);
        block.state.store(state::FAILED, Ordering::Release);
        Fault { kind: FaultKind::Failed, rank: self.rank }.declare(&self.segment);
    }
}

/// See [`Connection::moving`].
pub(crate) struct Moving<'a>(&'a Connection);

impl Drop for Moving<'_> {
    fn drop(&mut self) {
        self.0.segment.rank(self.0.rank).moving.store(0, Ordering::Relaxed);
    }
}

/// A rank among processes of one machine.
pub struct LocalTransport {
    connection: Arc<Connection>,
    world: Arc<LocalGroup>,
}

impl LocalTransport {
    /// Joins the run whose shared file the launcher left as `descriptor`, and waits for the others.
    /// Takes the descriptor over.
    ///
    /// # Errors
    /// `StartUp` where the descriptor is no such file, the run has another number of ranks, the
    /// rank is taken, or one doesn't come in time; `PeerDied` where one ended meanwhile.
    pub fn join(
        descriptor: RawFd,
        rank: usize,
        world_size: usize,
        settings: LocalSettings,
    ) -> Result<LocalTransport, TransportError> {
        if settings.end_with_launcher {
            process::end_with_parent();
        }
        let refused = |expected: String, found: String| {
            Err(TransportError::new(ErrorCode::StartUp, rank, expected, found))
        };
        if settings.window_bytes < 4096 || !settings.window_bytes.is_multiple_of(4096) {
            let found = format!("windowBytes is {}", settings.window_bytes);
            return refused("it must be a multiple of 4096".into(), found);
        }
        let segment = Arc::new(Segment::open(descriptor, rank)?);
        let world = segment.layout.world;
        if world != world_size || rank >= world {
            let found =
                format!("this is rank {rank} of {world_size}, and the launcher started {world}");
            return refused("rank and size must be the launcher's".into(), found);
        }
        let launcher = segment.header().launcher.load(Ordering::Relaxed);
        if settings.end_with_launcher && Watched::new(launcher).has_ended() {
            process::end_at_once();
        }
        let block = segment.rank(rank);
        block.heartbeat.store(clock::now(), Ordering::Relaxed);
        let pid = std::process::id();
        if let Err(other) = block.pid.compare_exchange(0, pid, Ordering::AcqRel, Ordering::Acquire)
        {
            let found =
                format!("rank {rank} is process {other} already, and process {pid} as well");
            return refused("each rank must be started once".into(), found);
        }
        block.state.store(state::RUNNING, Ordering::Release);
        let watchdog = Watchdog::start(segment.clone(), rank, &settings);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let connection = Arc::new(Connection {
            arena: Arena::new(segment.clone(), rank),
            rank,
            spin: settings.spin.unwrap_or(world <= cores),
            settings,
            _watchdog: watchdog,
            segment,
        });
        wait_for_all(&connection)?;
        let members = (0..world).collect();
        let world = Arc::new(LocalGroup::new(connection.clone(), "world".into(), members, 0));
        Ok(LocalTransport { connection, world })
    }

    /// This process's rank.
    pub fn rank(&self) -> usize {
        self.connection.rank
    }
}

fn wait_for_all(connection: &Connection) -> Result<(), TransportError> {
    let Connection { segment, rank, settings, .. } = connection;
    let began = Instant::now();
    for peer in 0..segment.layout.world {
        while segment.rank(peer).state.load(Ordering::Acquire) == state::ABSENT {
            if let Some(fault) = Fault::read(segment) {
                let (code, expected, found) = super::wait::describe(connection, fault);
                return Err(TransportError::new(code, *rank, expected, found).about(fault.rank));
            }
            if began.elapsed() > settings.start_deadline {
                let expected = "each rank must be started once".to_owned();
                let waited = began.elapsed().as_secs_f64();
                let found = format!("rank {peer} is missing after {waited:.1} s");
                return Err(
                    TransportError::new(ErrorCode::StartUp, *rank, expected, found).about(peer)
                );
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    Ok(())
}

impl Transport for LocalTransport {
    fn name(&self) -> &'static str {
        "local"
    }

    fn world(&self) -> Arc<dyn ProcessGroup> {
        self.world.clone()
    }

    fn note(&self, position: &str) {
        self.connection.segment.rank(self.connection.rank).position.write(position);
    }

    fn finish(&self) -> Result<(), TransportError> {
        let block = self.connection.segment.rank(self.connection.rank);
        if block.state.load(Ordering::Acquire) == state::RUNNING {
            block.state.store(state::DONE, Ordering::Release);
        }
        // The launcher knows when all have.
        Ok(())
    }

    fn fail(&self, reason: &str) {
        self.connection.fail(reason);
    }
}
