//! All-to-all of 64 MiB between two ranks, checked, in GB/s per rank and direction: each rank sends
//! half of its 64 MiB to the other. Sources in shared memory, as queries, keys and values are made,
//! and in ordinary memory.
//!
//! Usage: cargo run --release -p transport --example all_to_all [MiB] [repeats]

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};
use transport::local::{Launcher, LauncherSettings, LocalSettings, LocalTransport};
use transport::{Buffer, BufferMut, Call, DType, Operation, ProcessGroup, Transport};

const RANK: &str = "ALL_TO_ALL_RANK";
const DESCRIPTOR: i32 = 3;
const WORLD: usize = 2;

fn main() {
    let numbers: Vec<usize> =
        std::env::args().skip(1).filter_map(|text| text.parse().ok()).collect();
    let mebibytes = numbers.first().copied().unwrap_or(64);
    let repeats = numbers.get(1).copied().unwrap_or(20);
    if let Ok(rank) = std::env::var(RANK) {
        return measure(rank.parse().expect("a rank"), mebibytes << 20, repeats);
    }
    let settings = LauncherSettings { arena_bytes: 1 << 30, ..LauncherSettings::new(WORLD) };
    let launcher = Launcher::new(&settings).expect("shared memory");
    let shared = launcher.descriptor();
    let ranks = (0..WORLD).map(|rank| {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(std::env::args().skip(1)).env(RANK, rank.to_string());
        // SAFETY: only calls that are allowed between fork and exec. Where the descriptor has the
        // number already, it must only survive the exec.
        unsafe {
            command.pre_exec(move || {
                if libc::dup2(shared, DESCRIPTOR) == DESCRIPTOR && shared == DESCRIPTOR {
                    libc::fcntl(DESCRIPTOR, libc::F_SETFD, 0);
                }
                Ok(())
            })
        };
        command.spawn().expect("a process")
    });
    for mut rank in ranks.collect::<Vec<_>>() {
        assert!(rank.wait().expect("its status").success());
    }
}

fn measure(rank: usize, bytes: usize, repeats: usize) {
    let transport = LocalTransport::join(DESCRIPTOR, rank, WORLD, LocalSettings::default())
        .unwrap_or_else(|error| panic!("{error}"));
    let group = transport.world();
    let shared = group.allocate(bytes).expect("shared memory");
    let mut own = vec![0u8; bytes];
    let mut target = vec![0u8; bytes];
    for (name, source) in
        [("shared source", shared.address()), ("ordinary source", own.as_mut_ptr())]
    {
        let mut times = Vec::new();
        for repeat in 0..repeats + 3 {
            // SAFETY: both sources have that many bytes, and no collective is under way.
            unsafe { source.write_bytes((rank * 100 + repeat) as u8, bytes) };
            barrier(&*group);
            let began = Instant::now();
            let call = Call {
                operation: Operation::AllToAll {
                    send: vec![bytes / WORLD; WORLD],
                    receive: vec![bytes / WORLD; WORLD],
                },
                dtype: DType::UInt8,
                shape: vec![bytes],
                sources: vec![Buffer { address: source, ..Buffer::of(&own) }],
                targets: vec![BufferMut::of(&mut target)],
            };
            // SAFETY: source and target are left alone until it is complete.
            let pending = unsafe { group.start(call) }.expect("a collective");
            pending.complete(&|| false).expect("a collective");
            times.push(began.elapsed());
            for from in 0..WORLD {
                let part = &target[from * bytes / WORLD..(from + 1) * bytes / WORLD];
                assert!(part.iter().all(|byte| *byte == (from * 100 + repeat) as u8));
            }
        }
        report(rank, name, bytes, &mut times[3..]);
    }
    transport.finish().expect("the launcher tells whether all have");
}

fn barrier(group: &dyn ProcessGroup) {
    group.run(Operation::Barrier, DType::UInt8, &[], &[], &mut []).expect("a barrier");
}

fn report(rank: usize, name: &str, bytes: usize, times: &mut [Duration]) {
    times.sort();
    let speed = |time: Duration| (bytes / WORLD) as f64 / time.as_secs_f64() / 1e9;
    if rank == 0 {
        println!(
            "{name}: {} MiB, {} runs: median {:.2} GB/s, best {:.2}, worst {:.2} to the other rank",
            bytes >> 20,
            times.len(),
            speed(times[times.len() / 2]),
            speed(times[0]),
            speed(times[times.len() - 1]),
        );
    }
}
