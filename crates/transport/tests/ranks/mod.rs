//! Runs a test program again as the ranks of a run, and reports like the standard test harness.
#![allow(dead_code, reason = "each test program uses a part of it")]

mod launch;
pub mod mpi;

pub use launch::Launch;

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use transport::local::{Launcher, LauncherSettings, LocalSettings, LocalTransport, RankState};
use transport::{Transport, TransportError};

const DESCRIPTOR: i32 = 3;
pub const SCENARIO: &str = "TRANSPORT_TEST_SCENARIO";
const RANK: &str = "TRANSPORT_TEST_RANK";
const WORLD: &str = "TRANSPORT_TEST_WORLD";

/// What a rank does; what it returns is what it prints.
pub type Scenario = fn(&dyn Transport) -> String;

/// A test: its name and body, for every way to start ranks.
pub type Test = (&'static str, fn(&Launch));

/// Deadlines short enough for tests, and windows small enough that little data takes many pieces.
pub fn settings() -> LocalSettings {
    LocalSettings {
        stopped_after: Duration::from_millis(700),
        deadline: Duration::from_secs(20),
        start_deadline: Duration::from_secs(20),
        window_bytes: 4096,
        ..LocalSettings::default()
    }
}

/// A rank that has ended.
#[derive(Debug)]
pub struct Ended {
    pub status: std::process::ExitStatus,
    pub output: String,
    pub state: RankState,
    pub whereabouts: String,
}

/// Ranks at work. They are killed when this is dropped.
pub struct Run {
    pub launcher: Launcher,
    pub ranks: Vec<Child>,
}

impl Run {
    /// Starts `world` ranks of `scenario`.
    pub fn start(scenario: &str, world: usize) -> Run {
        let launcher =
            Launcher::new(&LauncherSettings { world_size: world, arena_bytes: 64 << 20 }).unwrap();
        let mut run = Run { launcher, ranks: Vec::new() };
        for rank in 0..world {
            run.add(scenario, rank, world);
        }
        run
    }

    /// Starts one rank.
    pub fn add(&mut self, scenario: &str, rank: usize, world: usize) {
        let shared = self.launcher.descriptor();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .env(SCENARIO, scenario)
            .env(RANK, rank.to_string())
            .env(WORLD, world.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        // SAFETY: only calls that are allowed between fork and exec.
        unsafe {
            command.pre_exec(move || {
                if shared == DESCRIPTOR {
                    libc::fcntl(DESCRIPTOR, libc::F_SETFD, 0);
                } else {
                    libc::dup2(shared, DESCRIPTOR);
                }
                Ok(())
            });
        }
        self.ranks.push(command.spawn().unwrap());
    }

    /// Waits until `condition` holds of the run.
    pub fn wait_until(&self, what: &str, condition: impl Fn(&Launcher) -> bool) {
        let began = Instant::now();
        while !condition(&self.launcher) {
            assert!(began.elapsed() < Duration::from_secs(20), "{what} did not come about");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits until all ranks have ended; none may take longer than some seconds.
    pub fn end(mut self) -> Vec<Ended> {
        let began = Instant::now();
        let mut ended = Vec::new();
        for (rank, child) in self.ranks.iter_mut().enumerate() {
            let status = loop {
                if let Some(status) = child.try_wait().unwrap() {
                    break status;
                }
                assert!(began.elapsed() < Duration::from_secs(20), "rank {rank} hangs");
                std::thread::sleep(Duration::from_millis(1));
            };
            let mut output = String::new();
            child.stdout.take().unwrap().read_to_string(&mut output).unwrap();
            let known = self.launcher.observe(rank).unwrap();
            let (state, whereabouts) = (known.state, known.whereabouts);
            ended.push(Ended { status, output, state, whereabouts });
        }
        ended
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        for child in &mut self.ranks {
            // Either may have happened already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The scenario of a launcher in a process of its own.
pub const LAUNCHER: &str = "launcher";

/// Starts two ranks that compute for ever, and tells their processes.
fn be_a_launcher() {
    let run = Run::start("compute", 2);
    run.wait_until("joining", |launcher| {
        (0..2).all(|rank| launcher.observe(rank).unwrap().state == RankState::Running)
    });
    println!("{} {}", run.ranks[0].id(), run.ranks[1].id());
    drop(run.end());
}

/// Runs `scenario` with `world` ranks; all must succeed. Returns what they print.
pub fn run(scenario: &str, world: usize) -> Vec<String> {
    let ended = Run::start(scenario, world).end();
    for (rank, end) in ended.iter().enumerate() {
        assert!(
            end.status.success() && end.state == RankState::Done,
            "{scenario}: rank {rank} of {world} ended with {end:?}"
        );
    }
    ended.into_iter().map(|end| end.output).collect()
}

/// The whole of a test program: a rank where it is started as one, else the tests over each of
/// `launches`.
pub fn main(
    scenarios: &[(&str, Scenario)],
    launches: &[(&str, Result<Launch, &str>)],
    tests: &[Test],
) {
    if let Ok(name) = std::env::var(SCENARIO) {
        return be_a_rank(scenarios, &name);
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let filters: Vec<_> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let chosen = |name: &str| filters.is_empty() || filters.iter().any(|part| name.contains(*part));
    let list = arguments.iter().any(|argument| argument == "--list");
    let (mut passed, mut failed, mut ignored, mut filtered) = (0, 0, 0, 0);
    for (way, launch) in launches {
        for (name, body) in tests {
            let name = format!("{way}::{name}");
            if list {
                println!("{name}: test");
            } else if !chosen(&name) {
                filtered += 1;
            } else {
                match launch {
                    Err(reason) => {
                        println!("test {name} ... ignored, {reason}");
                        ignored += 1;
                    }
                    Ok(launch) if catch_unwind(AssertUnwindSafe(|| body(launch))).is_ok() => {
                        println!("test {name} ... ok");
                        passed += 1;
                    }
                    Ok(_) => {
                        println!("test {name} ... FAILED");
                        failed += 1;
                    }
                }
            }
        }
    }
    if list {
        return;
    }
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {word}. {passed} passed; {failed} failed; {ignored} ignored; 0 measured; {filtered} filtered out"
    );
    std::process::exit(i32::from(failed > 0));
}

fn join_local(deadline: Option<Duration>) -> Result<Box<dyn Transport>, TransportError> {
    let number = |name: &str| std::env::var(name).unwrap().parse::<usize>().unwrap();
    let mut settings = settings();
    settings.deadline = deadline.unwrap_or(settings.deadline);
    let transport = LocalTransport::join(DESCRIPTOR, number(RANK), number(WORLD), settings)?;
    Ok(Box::new(transport))
}

fn be_a_rank(scenarios: &[(&str, Scenario)], name: &str) {
    if name == LAUNCHER {
        return be_a_launcher();
    }
    let (_, scenario) = scenarios.iter().find(|(known, _)| *known == name).unwrap();
    let deadline = (name == "late").then_some(Duration::from_millis(300));
    let joined = if mpi::is_rank() { mpi::join(deadline) } else { join_local(deadline) };
    let (text, outcome) = match joined {
        Ok(transport) => (scenario(&*transport), transport.finish()),
        Err(error) => (format!("{error}\n"), Err(error)),
    };
    if mpi::is_rank() {
        mpi::tell(&text);
    } else {
        print!("{text}");
    }
    if outcome.is_err() {
        std::process::exit(1);
    }
}
