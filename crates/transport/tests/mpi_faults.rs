//! Everything that can go wrong with a rank under MPI, with each launcher that is installed: the
//! others get an error that names it, in bounded time, and the launcher reports a failure.

mod fault_scenarios;
mod ranks;

use ranks::mpi::{End, MpiEnded, MpiProgram, MpiRun};
use ranks::{Launch, Test};
use std::process::Stdio;
use std::time::{Duration, Instant};
use transport::mpi::{LIBRARY_VARIABLE, MpiLauncher};

fn program(launch: &Launch) -> &MpiProgram {
    match launch {
        Launch::Mpi(program) => program,
        Launch::Local => panic!("these tests are of MPI"),
    }
}

/// Runs a scenario to its end.
fn run(launch: &Launch, scenario: &str, world: usize, end: End) -> MpiEnded {
    MpiRun::start(program(launch), scenario, world, end, |command| {
        command.stderr(Stdio::null());
    })
    .end()
}

fn expect(outputs: &[String], rank: usize, start: &str, parts: &[&str]) {
    let output = &outputs[rank];
    assert!(output.starts_with(start), "rank {rank}: {output:?}, not {start:?}");
    assert!(parts.iter().all(|part| output.contains(part)), "rank {rank}: {output:?}");
}

fn killed(launch: &Launch) {
    let MpiEnded { outputs, status } = run(launch, "killed", 3, End::ByRanks);
    assert!(!status.success(), "{status}");
    for rank in [0, 2] {
        let parts = ["rank 1 died at step 3, block 7", "; waited "];
        expect(&outputs, rank, "peerDied peer 1 all-gather #2 | rank", &parts);
    }
    // Whoever is quicker, it is no success.
    assert!(!run(launch, "killed", 3, End::ByLauncher).status.success());
}

fn stopped(launch: &Launch) {
    let MpiEnded { outputs, status } = run(launch, "stopped", 3, End::ByLauncher);
    assert!(!status.success(), "{status}");
    for rank in [0, 2] {
        let parts = ["rank 1 gives no sign of life at step 3, block 7", "; waited "];
        expect(&outputs, rank, "peerStopped peer 1 all-gather #2 | rank", &parts);
    }
    let process: u32 = outputs[1].trim().parse().unwrap();
    wait_until_gone(&[process]);
}

fn late(launch: &Launch) {
    let MpiEnded { outputs, status } = run(launch, "late", 2, End::ByLauncher);
    assert!(!status.success(), "{status}");
    expect(&outputs, 0, "deadline peer 1 barrier #1", &["did not come within 0.3 s"]);
}

fn own_failures(launch: &Launch) {
    let failed = |scenario: &str, world: usize| launch.fail(scenario, world);
    for rank in [0, 2] {
        let text = "rank 1 failed: the weights are damaged";
        expect(&failed("fail", 3), rank, "peerFailed peer 1 barrier #1", &[text]);
    }
    let text = "rank 1 failed: it ended without having done its work";
    expect(&failed("exit", 2), 0, "peerFailed peer 1 barrier #1", &[text]);
    expect(&failed("finishEarly", 2), 0, "peerFinished peer 1 barrier #1", &["was done already"]);
    expect(&failed("abandon", 2), 0, "peerFailed peer 1", &["its input failed"]);
    let outputs = failed("cancel", 2);
    expect(&outputs, 1, "cancelled peer - barrier #1", &[]);
    expect(&outputs, 0, "peerFailed peer 1", &["cancelled"]);
}

fn mismatches(launch: &Launch) {
    let common = "all-gather #2 of float32 [2, 6], 36 elements";
    for (scenario, other) in [
        ("otherShape", "all-gather #2 of float32 [3, 4], 36 elements"),
        ("otherOperation", "all-to-all #2 of float32 [2, 6]"),
        ("otherOrder", "barrier #2"),
        ("otherWay", "between devices"),
    ] {
        let outputs = launch.fail(scenario, 3);
        for rank in 0..3 {
            let peer = if rank == 1 { 0 } else { 1 };
            expect(&outputs, rank, &format!("mismatch peer {peer} "), &[common, other]);
        }
    }
    let outputs = launch.fail("otherParts", 3);
    for rank in 0..3 {
        let sent = "rank 0 sends 2 bytes to rank 2";
        let wanted = "rank 2 expects 3 bytes from rank 0";
        expect(&outputs, rank, "mismatch peer ", &[sent, wanted]);
    }
    let outputs = launch.fail("otherExchange", 3);
    for rank in 0..2 {
        let both = ["send-receive #1 of uint8 [4]", "send-receive #1 of uint8 [8]"];
        expect(&outputs, rank, "mismatch peer ", &both);
    }
    expect(&outputs, 2, "peerFailed peer ", &["the ranks disagree"]);
}

/// Names a library that isn't the launcher's.
fn foreign_library(launch: &Launch) {
    let refusal = |library: &str| {
        let run = MpiRun::start(program(launch), "barrier", 2, End::ByLauncher, |command| {
            command.env(LIBRARY_VARIABLE, library).stderr(Stdio::null());
        });
        let ended = run.end();
        assert!(!ended.status.success(), "{ended:?}");
        ended.outputs[0].clone()
    };
    let text = refusal("/nowhere/libmpi.so");
    assert!(text.contains("rank 0: WAN_MPI_LIBRARY=/nowhere/libmpi.so: "), "{text}");
    assert!(text.contains("must name a library of MPI"), "{text}");
    let (other, name) = match program(launch).launcher {
        MpiLauncher::OpenMpi => (MpiProgram::mpich(), "libmpich.so.12"),
        _ => (MpiProgram::open_mpi(), "libmpi.so.40"),
    };
    if other.is_none() {
        println!("the other kind of MPI is not installed: not tried under this launcher");
        return;
    }
    let text = refusal(name);
    assert!(text.contains("the launcher started rank 0 of 2, and MPI ("), "{text}");
    assert!(text.contains("says rank 0 of 1"), "{text}");
}

/// Whether a process is there and no zombie.
fn lives(process: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{process}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or("").trim_start().starts_with('Z'))
}

fn wait_until_gone(processes: &[u32]) {
    let began = Instant::now();
    while processes.iter().any(|process| lives(*process)) {
        assert!(began.elapsed() < Duration::from_secs(10), "orphans: {processes:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn launcher_gone(launch: &Launch) {
    let program = program(launch);
    let mut run = MpiRun::start(program, "busy", 2, End::ByLauncher, |command| {
        command.stderr(Stdio::null());
    });
    let began = Instant::now();
    let processes: Vec<u32> = loop {
        let told = [run.told(0), run.told(1)];
        let numbers = told.iter().filter_map(|text| text.trim().parse().ok()).collect::<Vec<_>>();
        if numbers.len() == 2 {
            break numbers;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{told:?}");
        std::thread::sleep(Duration::from_millis(2));
    };
    assert!(processes.iter().all(|process| lives(*process)));
    run.launcher.kill().unwrap();
    run.launcher.wait().unwrap();
    wait_until_gone(&processes);
}

fn main() {
    const TESTS: &[Test] = &[
        ("a_killed_rank_is_named", killed),
        ("a_stopped_rank_is_named_and_ended", stopped),
        ("a_live_rank_that_does_not_come_is_named_at_the_deadline", late),
        ("failing_exiting_finishing_and_cancelling_ranks_are_named", own_failures),
        ("mismatches_fail_every_rank_and_move_nothing", mismatches),
        ("a_library_that_is_not_the_launchers_is_refused", foreign_library),
        ("ranks_end_with_their_launcher_also_inside_native_code", launcher_gone),
    ];
    let launches = Launch::all();
    ranks::main(fault_scenarios::ALL, &launches[1..], TESTS);
}
