//! Runs a test program again under an MPI launcher, where there is one.

use super::{SCENARIO, settings};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use transport::mpi::{LIBRARY_VARIABLE, MpiLauncher, MpiSettings, MpiTransport};
use transport::{Transport, TransportError};

/// Names the folder that ranks write what they have to say to.
const OUTPUT: &str = "TRANSPORT_TEST_OUTPUT";

/// An MPI launcher of this machine.
#[derive(Clone, Debug, PartialEq)]
pub struct MpiProgram {
    pub program: &'static str,
    pub launcher: MpiLauncher,
}

impl MpiProgram {
    /// The first of `names` that is there and tells `sign` of itself.
    fn find(names: &[&'static str], sign: &str, launcher: MpiLauncher) -> Option<MpiProgram> {
        let fits = |name: &&'static str| {
            Command::new(name)
                .arg("--version")
                .output()
                .is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(sign))
        };
        names.iter().copied().find(fits).map(|program| MpiProgram { program, launcher })
    }

    pub fn open_mpi() -> Option<MpiProgram> {
        Self::find(&["mpirun.openmpi", "mpirun"], "Open MPI", MpiLauncher::OpenMpi)
    }

    pub fn mpich() -> Option<MpiProgram> {
        Self::find(&["mpiexec.mpich", "mpiexec.hydra", "mpiexec"], "HYDRA", MpiLauncher::Pmi)
    }

    /// The command that runs `scenario` with `world` ranks.
    fn command(&self, scenario: &str, world: usize, end: End, output: &Path) -> Command {
        let mut command = Command::new(self.program);
        command.args(["-n", &world.to_string()]);
        if self.launcher == MpiLauncher::OpenMpi {
            command.arg("--oversubscribe");
        }
        if end == End::ByRanks {
            command.args(["sh", "-c", "\"$0\"; code=$?; sleep 2; exit $code"]);
        }
        command
            .arg(std::env::current_exe().unwrap())
            .env(SCENARIO, scenario)
            .env(OUTPUT, output)
            .env("OMPI_ALLOW_RUN_AS_ROOT", "1")
            .env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")
            .stdin(Stdio::null());
        command
    }
}

/// Who ends the other ranks when one has ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum End {
    /// The launcher, at once.
    ByLauncher,
    /// The ranks themselves: the launcher hears of it two seconds later.
    ByRanks,
}

/// Ranks under an MPI launcher. It is killed when this is dropped.
pub struct MpiRun {
    pub launcher: Child,
    pub output: PathBuf,
    world: usize,
}

/// A run that has ended.
#[derive(Debug)]
pub struct MpiEnded {
    pub status: ExitStatus,
    /// What each rank has written.
    pub outputs: Vec<String>,
}

impl MpiRun {
    /// Starts `world` ranks of `scenario`; `adapt` may change the launcher's command.
    pub fn start(
        program: &MpiProgram,
        scenario: &str,
        world: usize,
        end: End,
        adapt: impl FnOnce(&mut Command),
    ) -> MpiRun {
        static RUNS: AtomicUsize = AtomicUsize::new(0);
        let run = RUNS.fetch_add(1, Ordering::Relaxed);
        let name = format!("wan-transport-{}-{run}", std::process::id());
        let output = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&output).unwrap();
        let mut command = program.command(scenario, world, end, &output);
        adapt(&mut command);
        MpiRun { launcher: command.spawn().unwrap(), output, world }
    }

    /// What a rank has written so far.
    pub fn told(&self, rank: usize) -> String {
        std::fs::read_to_string(self.output.join(rank.to_string())).unwrap_or_default()
    }

    /// Waits until the launcher has ended; it may not take longer than some seconds.
    pub fn end(mut self) -> MpiEnded {
        let began = Instant::now();
        let status = loop {
            if let Some(status) = self.launcher.try_wait().unwrap() {
                break status;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "the run hangs");
            std::thread::sleep(Duration::from_millis(2));
        };
        MpiEnded { status, outputs: (0..self.world).map(|rank| self.told(rank)).collect() }
    }
}

impl Drop for MpiRun {
    fn drop(&mut self) {
        // Either may have happened already.
        let _ = self.launcher.kill();
        let _ = self.launcher.wait();
        let _ = std::fs::remove_dir_all(&self.output);
    }
}

/// Whether this process is a rank that an MPI launcher started.
pub fn is_rank() -> bool {
    std::env::var_os(OUTPUT).is_some()
}

/// Writes what this rank has to say.
pub fn tell(text: &str) {
    let (_, rank, _) = place();
    let folder = PathBuf::from(std::env::var_os(OUTPUT).unwrap());
    std::fs::write(folder.join(rank.to_string()), text).unwrap();
}

fn place() -> (MpiLauncher, usize, usize) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let open_mpi = number("OMPI_COMM_WORLD_RANK").zip(number("OMPI_COMM_WORLD_SIZE"));
    let pmi = || number("PMI_RANK").zip(number("PMI_SIZE"));
    let launcher = if open_mpi.is_some() { MpiLauncher::OpenMpi } else { MpiLauncher::Pmi };
    let (rank, world) = open_mpi.or_else(pmi).unwrap();
    (launcher, rank, world)
}

/// Joins the run of the launcher that started this process.
pub fn join(deadline: Option<Duration>) -> Result<Box<dyn Transport>, TransportError> {
    let (launcher, rank, world) = place();
    let local = settings();
    let settings = MpiSettings {
        stopped_after: local.stopped_after,
        deadline: deadline.unwrap_or(local.deadline),
        start_deadline: local.start_deadline,
        launcher,
        library: std::env::var(LIBRARY_VARIABLE).ok(),
        end_with_launcher: true,
    };
    Ok(Box::new(MpiTransport::join(rank, world, settings)?))
}
