//! What a rank under MPI is told at its start.

use std::time::Duration;

/// Who started the ranks, which decides the library that can speak to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MpiLauncher {
    /// Open MPI's `mpirun`.
    OpenMpi,
    /// A launcher that speaks PMI: MPICH's `mpiexec`, `srun --mpi=pmi2`.
    Pmi,
    /// One that both kinds of libraries may know, such as `srun --mpi=pmix`.
    Any,
}

/// Deadlines of one rank, and its library.
#[derive(Clone, Debug, PartialEq)]
pub struct MpiSettings {
    /// A rank that is silent for longer has stopped or is cut off.
    pub stopped_after: Duration,
    /// How long ranks wait at a collective for one that is alive and busy with something else.
    pub deadline: Duration,
    /// How long ranks wait at the start until all are there.
    pub start_deadline: Duration,
    /// Who started this process.
    pub launcher: MpiLauncher,
    /// The library's name or path in place of those that fit the launcher.
    pub library: Option<String>,
    /// Whether this process is killed when the one that started it ends.
    pub end_with_launcher: bool,
}

impl Default for MpiSettings {
    fn default() -> MpiSettings {
        MpiSettings {
            stopped_after: Duration::from_secs(6),
            deadline: Duration::from_secs(600),
            start_deadline: Duration::from_secs(60),
            launcher: MpiLauncher::Any,
            library: None,
            end_with_launcher: true,
        }
    }
}
