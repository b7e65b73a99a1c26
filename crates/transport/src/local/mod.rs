//! Ranks as processes of one machine, over memory that they share.
//!
//! The launcher makes a [`Launcher`]: an anonymous file of shared memory, whose descriptor its child
//! processes inherit. It holds a control block for each rank (process, heartbeat, position,
//! failure), lanes in which the members of a group announce collectives and arrive at barriers, and
//! for each rank an arena from which the others read. Receivers pull, with stores that go past the
//! cache. What lies in the arena already is read where it is; anything else goes through a staging
//! window of the sender, a piece at a time.
//!
//! The file has no name and goes with its last process: nothing is left behind, however ranks end.

mod arena;
mod clock;
mod connection;
mod control;
mod copy;
mod exchange;
mod fault;
mod futex;
mod group;
mod launcher;
mod movement;
mod reduction;
mod resharding;
mod rows;
mod segment;
mod settings;
mod under_way;
mod wait;
mod watchdog;

pub use connection::LocalTransport;
pub use fault::{Fault, FaultKind};
pub use launcher::{Launcher, LauncherSettings, RankState, RankStatus};
pub use settings::LocalSettings;
