//! Deadlines and sizes of one rank.

use std::time::Duration;

/// Deadlines and sizes of one rank.
#[derive(Clone, Debug, PartialEq)]
pub struct LocalSettings {
    /// A rank whose heartbeat is older, or which entered a collective and makes no progress in it
    /// for as long, has stopped.
    pub stopped_after: Duration,
    /// How long ranks wait at a collective for one that is alive and busy with something else.
    pub deadline: Duration,
    /// How long ranks wait at the start until all are there.
    pub start_deadline: Duration,
    /// Bytes of a staging window, of which every group has two for each kind of traffic; a multiple
    /// of 4096. Tensors that aren't in shared memory go through it a piece at a time.
    pub window_bytes: usize,
    /// Whether to spin for some microseconds before sleeping. `None`: where there are at least as
    /// many cores as ranks.
    pub spin: Option<bool>,
    /// Whether this process is killed when the launcher ends.
    pub end_with_launcher: bool,
}

impl Default for LocalSettings {
    fn default() -> LocalSettings {
        LocalSettings {
            stopped_after: Duration::from_secs(6),
            deadline: Duration::from_secs(600),
            start_deadline: Duration::from_secs(60),
            window_bytes: 1 << 20,
            spin: None,
            end_with_launcher: true,
        }
    }
}
