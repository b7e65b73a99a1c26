//! Ranks as processes of any number of machines, over an MPI library that is opened when a run
//! needs it.
//!
//! One thread a process, the engine, makes all MPI calls, so that a library of level
//! `MPI_THREAD_FUNNELED` is enough, and makes none that blocks while ranks work together: messages
//! between two ranks, started and then tested. Collectives are made of these, since MPI's own
//! can't be called off, take 31-bit counts and sum in an order of their choice; groups are ranges
//! of tags, since new communicators are few and made by a call that blocks.
//!
//! The engine also tells every other rank several times a second that it lives and where it is.
//! A rank that is silent, or whose process on the same machine has ended, is the run's fault, and
//! ends it: ranks tell each other, their collectives fail, and the launcher's own way of ending a
//! job, `MPI_Abort`, ends what is left.

mod api;
mod board;
mod comparison;
mod ending;
mod engine;
mod exit;
mod group;
mod join;
mod library;
mod movement;
mod peer;
mod settings;
mod shared;
mod task;
mod transfer;
mod transport;
mod wire;

pub use library::{LIBRARY_VARIABLE, MpiFamily};
pub use settings::{MpiLauncher, MpiSettings};
pub use transport::MpiTransport;
