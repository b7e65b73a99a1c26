//! The launcher's side of a run: the shared file, and what the ranks write into it.

use super::clock;
use super::control::state;
use super::fault::Fault;
use super::segment::{Layout, MAX_RANKS, Segment};
use super::wait::whereabouts;
use crate::error::{ErrorCode, TransportError};
use std::os::fd::RawFd;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Sizes of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct LauncherSettings {
    /// Ranks, up to 256.
    pub world_size: usize,
    /// Shared memory that each rank can give out. Only what is used takes memory.
    pub arena_bytes: usize,
}

impl LauncherSettings {
    /// `world_size` ranks with room for 16 GiB each.
    pub fn new(world_size: usize) -> LauncherSettings {
        LauncherSettings { world_size, arena_bytes: 16 << 30 }
    }
}

/// What a rank has said of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RankState {
    /// It hasn't joined.
    Absent,
    /// It has joined and is at work.
    Running,
    /// It has done its whole work.
    Done,
    /// It has failed.
    Failed,
}

/// What a rank has written.
#[derive(Clone, Debug, PartialEq)]
pub struct RankStatus {
    /// Its process, once it has joined.
    pub pid: Option<u32>,
    /// What it has said of itself.
    pub state: RankState,
    /// Where it is: "at step 3, block 7, all-to-all #281".
    pub whereabouts: String,
    /// Why it failed; empty where it didn't.
    pub failure: String,
    /// Since its last sign of life, once it has joined.
    pub silent_for: Option<Duration>,
}

/// The shared file of a run, as its launcher has it.
pub struct Launcher {
    segment: Segment,
}

impl Launcher {
    /// Makes the shared file. It lasts until the last process that has it ends.
    pub fn new(settings: &LauncherSettings) -> Result<Launcher, TransportError> {
        let LauncherSettings { world_size, arena_bytes } = *settings;
        if !(1..=MAX_RANKS).contains(&world_size) {
            let found = format!("{world_size} ranks are asked for");
            let expected = format!("one machine takes 1 to {MAX_RANKS}");
            return Err(TransportError::new(ErrorCode::Argument, 0, expected, found));
        }
        // Half of what pointers can address is more than enough, and nothing overflows below it.
        if arena_bytes == 0 || arena_bytes > (1 << 46) / world_size {
            let found = format!("shared memory of {arena_bytes} bytes a rank is asked for");
            let expected = format!("from 1 to {} bytes", (1u64 << 46) / world_size as u64);
            return Err(TransportError::new(ErrorCode::Argument, 0, expected, found));
        }
        Ok(Launcher { segment: Segment::create(Layout::new(world_size, arena_bytes))? })
    }

    /// The file's descriptor, to be handed down to the ranks. It stays the launcher's own.
    pub fn descriptor(&self) -> RawFd {
        self.segment.descriptor()
    }

    /// What a rank has written, or `None` for one that the run hasn't got.
    pub fn observe(&self, rank: usize) -> Option<RankStatus> {
        if rank >= self.segment.layout.world {
            return None;
        }
        let block = self.segment.rank(rank);
        let pid = Some(block.pid.load(Ordering::Acquire)).filter(|pid| *pid != 0);
        let state = match block.state.load(Ordering::Acquire) {
            state::ABSENT => RankState::Absent,
            state::DONE => RankState::Done,
            state::FAILED => RankState::Failed,
            _ => RankState::Running,
        };
        let silent = clock::now().saturating_sub(block.heartbeat.load(Ordering::Relaxed));
        Some(RankStatus {
            pid,
            state,
            whereabouts: whereabouts(&self.segment, rank),
            failure: block.failure.read(),
            silent_for: pid.map(|_| Duration::from_nanos(silent)),
        })
    }

    /// The first fault of the run, if there was one.
    pub fn fault(&self) -> Option<Fault> {
        Fault::read(&self.segment)
    }
}
