//! The ways in which a test's ranks are started.

use super::Run;
use super::mpi::{End, MpiProgram, MpiRun};
use std::ops::RangeInclusive;
use std::process::Stdio;
use transport::local::RankState;

/// A way in which ranks are started and connected.
#[derive(Clone, Debug, PartialEq)]
pub enum Launch {
    Local,
    Mpi(MpiProgram),
}

impl Launch {
    /// Every way by its name, or why it can't be tried here.
    pub fn all() -> [(&'static str, Result<Launch, &'static str>); 3] {
        let mpi = |program: Option<MpiProgram>, missing| program.map(Launch::Mpi).ok_or(missing);
        [
            ("local", Ok(Launch::Local)),
            ("open_mpi", mpi(MpiProgram::open_mpi(), "no mpirun of Open MPI is installed")),
            ("mpich", mpi(MpiProgram::mpich(), "no mpiexec of MPICH is installed")),
        ]
    }

    /// Numbers of ranks to try: all of them, or the largest but one where starting takes long.
    pub fn worlds(&self, all: RangeInclusive<usize>) -> Vec<usize> {
        match self {
            Launch::Local => all.collect(),
            Launch::Mpi(_) => vec![(*all.end() - 1).max(*all.start())],
        }
    }

    /// Runs `scenario` with `world` ranks; all must succeed. Returns what they tell.
    pub fn run(&self, scenario: &str, world: usize) -> Vec<String> {
        match self {
            Launch::Local => super::run(scenario, world),
            Launch::Mpi(program) => {
                let ended = MpiRun::start(program, scenario, world, End::ByLauncher, |_| ()).end();
                assert!(ended.status.success(), "{scenario} with {world} ranks: {ended:?}");
                ended.outputs
            }
        }
    }

    /// Runs `scenario` with `world` ranks; the run must fail. Returns what they tell.
    pub fn fail(&self, scenario: &str, world: usize) -> Vec<String> {
        match self {
            Launch::Local => {
                let ended = Run::start(scenario, world).end();
                let failed = ended.iter().any(|end| end.state == RankState::Failed);
                assert!(failed, "{scenario}: {ended:?}");
                ended.into_iter().map(|end| end.output).collect()
            }
            Launch::Mpi(program) => {
                let ended = MpiRun::start(program, scenario, world, End::ByLauncher, |command| {
                    // The launcher's own words about a run that is meant to fail.
                    command.stderr(Stdio::null());
                })
                .end();
                assert!(!ended.status.success(), "{scenario}: {ended:?}");
                ended.outputs
            }
        }
    }
}
