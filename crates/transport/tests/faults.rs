//! Everything that can go wrong with a rank, with real processes: the others get an error that
//! names it, in bounded time, and nothing is left behind.

mod fault_scenarios;
mod ranks;

use ranks::{Ended, Run, SCENARIO, Test, settings};
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use transport::ErrorCode;
use transport::local::{FaultKind, Launcher, LauncherSettings, LocalTransport, RankState};

fn kill(process: u32, signal: i32) {
    // SAFETY: takes two numbers; the process is a rank that the test started.
    assert_eq!(unsafe { libc::kill(process as i32, signal) }, 0);
}

fn has_started(launcher: &Launcher, rank: usize, part: &str) -> bool {
    launcher.observe(rank).unwrap().whereabouts.contains(part)
}

/// Kills or stops rank 1 once all ranks are where they are meant to be; returns the others.
fn strike(scenario: &str, signal: i32, place: &str, waiting: &[usize]) -> Vec<Ended> {
    let mut run = Run::start(scenario, 3);
    run.wait_until("rank 1's place", |launcher| has_started(launcher, 1, place));
    run.wait_until("waiting ranks", |launcher| {
        waiting.iter().all(|rank| has_started(launcher, *rank, ", all-gather"))
    });
    let began = Instant::now();
    kill(run.ranks[1].id(), signal);
    for rank in waiting {
        while run.ranks[*rank].try_wait().unwrap().is_none() {
            assert!(began.elapsed() < Duration::from_secs(10), "rank {rank} hangs");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    let fault = run.launcher.fault().unwrap();
    assert_eq!(fault.rank, 1);
    if signal == libc::SIGSTOP {
        assert_eq!(fault.kind, FaultKind::Stopped);
        kill(run.ranks[1].id(), libc::SIGKILL);
    } else {
        assert_eq!(fault.kind, FaultKind::Died);
    }
    run.end()
}

fn expect_named(ended: &[Ended], code: &str, collective: &str, place: &str) {
    for rank in [0, 2] {
        let output = &ended[rank].output;
        let start = format!("{code} peer 1 {collective} | rank {rank}: {collective}: rank 1 ");
        assert!(output.starts_with(&start), "{output}");
        assert!(output.contains(place) && output.contains("; waited "), "{output}");
    }
}

fn dead_outside() {
    let ended = strike("waitFor", libc::SIGKILL, "step 3, block 7, after barrier #1", &[0, 2]);
    expect_named(&ended, "peerDied", "all-gather #2", "at step 3, block 7, after barrier #1");
    assert_eq!(ended[1].status.signal(), Some(libc::SIGKILL));
    assert_eq!(ended[1].state, RankState::Running);
}

fn dead_inside() {
    let ended = strike("waitWith", libc::SIGKILL, ", all-gather #1", &[0]);
    expect_named(&ended, "peerDied", "all-gather #1", "at step 3, block 7, all-gather #1");
    assert_eq!(ended[1].whereabouts, "at step 3, block 7, all-gather #1");
}

fn stopped() {
    let ended = strike("waitFor", libc::SIGSTOP, "step 3, block 7, after barrier #1", &[0, 2]);
    expect_named(&ended, "peerStopped", "all-gather #2", "at step 3, block 7, after barrier #1");
}

/// Runs two or three ranks to their end; none hangs.
fn outputs(scenario: &str, world: usize) -> Vec<Ended> {
    Run::start(scenario, world).end()
}

fn own_failures() {
    let ended = outputs("fail", 3);
    for rank in [0, 2] {
        let output = &ended[rank].output;
        assert!(output.starts_with("peerFailed peer 1 barrier #1"), "{output}");
        assert!(output.ends_with("rank 1 failed: the weights are damaged"), "{output}");
    }
    assert_eq!(ended[1].state, RankState::Failed);

    let ended = outputs("exit", 2);
    assert!(ended[0].output.starts_with("peerDied peer 1 barrier #1"), "{}", ended[0].output);
    assert!(ended[1].status.success() && ended[1].state == RankState::Running);

    let ended = outputs("finishEarly", 2);
    assert!(ended[0].output.starts_with("peerFinished peer 1 barrier #1"), "{}", ended[0].output);
    assert_eq!(ended[0].state, RankState::Failed);

    let ended = outputs("abandon", 2);
    assert!(ended[0].output.starts_with("peerFailed peer 1"), "{}", ended[0].output);
    assert!(ended[0].output.ends_with("its input failed"), "{}", ended[0].output);

    let ended = outputs("cancel", 2);
    assert!(ended[1].output.starts_with("cancelled peer - barrier #1"), "{}", ended[1].output);
    assert!(ended[0].output.starts_with("peerFailed peer 1"), "{}", ended[0].output);
}

fn mismatches() {
    let common = "all-gather #2 of float32 [2, 6], 36 elements";
    for (scenario, other) in [
        ("otherShape", "all-gather #2 of float32 [3, 4], 36 elements"),
        ("otherDtype", "all-gather #2 of int32 [2, 6], 36 elements"),
        ("otherOperation", "all-to-all #2 of float32 [2, 6]"),
        ("otherOrder", "barrier #2"),
        ("otherWay", "between devices"),
    ] {
        let ended = outputs(scenario, 3);
        for (rank, end) in ended.iter().enumerate() {
            let peer = if rank == 1 { 0 } else { 1 };
            assert!(end.output.starts_with(&format!("mismatch peer {peer} ")), "{}", end.output);
            assert!(end.output.contains(common) && end.output.contains(other), "{}", end.output);
        }
    }
    for scenario in ["otherSizes", "otherParts"] {
        for end in outputs(scenario, 3) {
            assert!(end.output.starts_with("mismatch peer "), "{scenario}: {}", end.output);
        }
    }
    let parts = &outputs("otherParts", 3)[1].output;
    assert!(parts.contains("rank 0 sends 2 bytes to rank 2"), "{parts}");
    assert!(parts.contains("rank 2 expects 3 bytes from rank 0"), "{parts}");
    let ended = outputs("otherExchange", 3);
    for end in &ended[..2] {
        assert!(end.output.contains("send-receive #1 of uint8 [4], 4 elements"), "{}", end.output);
        assert!(end.output.contains("send-receive #1 of uint8 [8], 8 elements"), "{}", end.output);
    }
    assert!(ended[2].output.starts_with("peerFailed peer "), "{}", ended[2].output);
}

fn start_up() {
    let mut run = Run::start("compute", 2);
    run.wait_until("joining", |launcher| {
        (0..2).all(|rank| launcher.observe(rank).unwrap().state == RankState::Running)
    });
    run.add("compute", 1, 2);
    let mut third = run.ranks.pop().unwrap();
    let output = BufReader::new(third.stdout.take().unwrap()).lines().next().unwrap().unwrap();
    assert!(output.contains("rank 1 is process "), "{output}");
    assert_eq!(third.wait().unwrap().code(), Some(1));
    drop(run);

    let launcher =
        Launcher::new(&LauncherSettings { world_size: 2, arena_bytes: 1 << 20 }).unwrap();
    let mut settings = settings();
    settings.start_deadline = Duration::from_millis(50);
    settings.end_with_launcher = false;
    let join = |rank, world, settings: &transport::local::LocalSettings| {
        // SAFETY: the launcher's descriptor is open.
        let copy = unsafe { libc::dup(launcher.descriptor()) };
        LocalTransport::join(copy, rank, world, settings.clone()).err().unwrap()
    };
    let error = join(0, 3, &settings);
    assert_eq!(error.code, ErrorCode::StartUp);
    assert!(
        error.to_string().contains("this is rank 0 of 3, and the launcher started 2"),
        "{error}"
    );
    let error = join(0, 2, &settings);
    assert!(error.to_string().contains("rank 1 is missing after"), "{error}");
    let error = LocalTransport::join(900, 0, 2, settings.clone()).err().unwrap();
    assert!(error.to_string().contains("file descriptor 900 isn't open"), "{error}");
    // SAFETY: opens a file that is no run's.
    let other = unsafe { libc::open(c"/proc/self/exe".as_ptr(), libc::O_RDONLY) };
    let error = LocalTransport::join(other, 0, 2, settings).err().unwrap();
    assert!(matches!(error.code, ErrorCode::StartUp | ErrorCode::System), "{error}");
    assert!(Launcher::new(&LauncherSettings::new(0)).is_err());
    assert!(Launcher::new(&LauncherSettings::new(257)).is_err());
}

/// Whether a process is there and no zombie.
fn lives(process: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{process}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or("").trim_start().starts_with('Z'))
}

fn launcher_gone() {
    let mut launcher = Command::new(std::env::current_exe().unwrap())
        .env(SCENARIO, ranks::LAUNCHER)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(launcher.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let processes: Vec<u32> = line.split_whitespace().map(|pid| pid.parse().unwrap()).collect();
    assert!(processes.len() == 2 && processes.iter().all(|process| lives(*process)), "{line}");
    launcher.kill().unwrap();
    launcher.wait().unwrap();
    let began = Instant::now();
    while processes.iter().any(|process| lives(*process)) {
        assert!(began.elapsed() < Duration::from_secs(5), "orphans: {processes:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn nothing_left() {
    let names = || {
        let mut names: Vec<_> = std::fs::read_dir("/dev/shm")
            .map(|folder| folder.flatten().map(|entry| entry.file_name()).collect())
            .unwrap_or_default();
        names.sort();
        names
    };
    let before = names();
    let mut run = Run::start("compute", 2);
    run.wait_until("joining", |launcher| launcher.observe(1).unwrap().state == RankState::Running);
    run.ranks.iter_mut().for_each(|rank| rank.kill().unwrap());
    drop(run);
    assert_eq!(names(), before);
}

fn late_rank() {
    let run = Run::start("late", 2);
    run.wait_until("the fault", |launcher| launcher.fault().is_some());
    let fault = run.launcher.fault().unwrap();
    assert_eq!((fault.kind, fault.rank), (FaultKind::Late, 1));
}

fn main() {
    const TESTS: &[Test] = &[
        ("a_rank_killed_outside_of_a_collective_is_named", |_| dead_outside()),
        ("a_rank_killed_inside_a_collective_is_named", |_| dead_inside()),
        ("a_stopped_rank_is_named", |_| stopped()),
        ("a_live_rank_that_does_not_come_is_named_at_the_deadline", |_| late_rank()),
        ("failing_exiting_finishing_and_cancelling_ranks_are_named", |_| own_failures()),
        ("mismatches_fail_every_rank_and_move_nothing", |_| mismatches()),
        ("doubled_missing_and_foreign_ranks_are_refused", |_| start_up()),
        ("ranks_end_with_their_launcher_also_inside_native_code", |_| launcher_gone()),
        ("killed_ranks_leave_nothing_in_shared_memory", |_| nothing_left()),
        ("a_full_arena_is_an_error_and_memory_comes_back", |_| {
            assert!(ranks::run("tooMuch", 1)[0].contains("no shared memory for 50331648 bytes"));
        }),
    ];
    ranks::main(fault_scenarios::ALL, &[("local", Ok(ranks::Launch::Local))], TESTS);
}
