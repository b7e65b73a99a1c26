//! Collectives between CUDA devices: agreed on by a process group, moved by NCCL.
//!
//! A [`DeviceGroup`] stands beside a [`transport::ProcessGroup`] of the same ranks, which keeps what it
//! promises: members compare what they are about to do before anything moves, a rank that dies is named,
//! every collective is counted. Only then is NCCL given the bytes, on the device's own streams, and this
//! process goes on: it waits for the other processes to come, not for their devices.
//!
//! Collectives that add are none of NCCL's here: it adds in an order of its own, and sums over ranks are
//! taken in the order of the members.

mod choice;
mod group;
mod joining;
mod movement;
mod watch;

pub use choice::{COLLECTIVES_VARIABLE, Collectives};
pub use group::DeviceGroup;
pub use joining::{Joined, join};
